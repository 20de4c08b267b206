"""Trained models in Hugging Face form; see `p2bot_parlai.scripts.export_hf`."""
