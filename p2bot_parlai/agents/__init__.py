"""ParlAI agents: thin adapters. Saved .opt files hold their import paths: they never move."""

import p2bot_parlai.parlai_support  # noqa: F401  (says what to install where ParlAI is missing)
