"""Conversations with a trained bot."""

import p2bot_parlai.parlai_support  # noqa: F401  (says what to install where ParlAI is missing)
