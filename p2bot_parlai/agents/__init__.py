"""ParlAI agents: thin adapters. Saved .opt files hold their import paths: they never move."""

from p2bot_parlai.parlai_support import shims

# a model that is loaded from Python needs the shims too, without the `parlai` command
shims.apply()
