"""ParlAI agents: thin adapters. Saved .opt files hold their import paths: they never move."""

from p2bot_parlai import compat

# a model that is loaded from Python needs the shims too, without the `parlai` command
compat.apply()
