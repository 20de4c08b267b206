"""Export of trained models to Hugging Face format; see `p2bot_parlai.scripts.export_hf`."""
