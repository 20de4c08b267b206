"""ParlAI agents: thin adapters. Saved .opt files hold their import paths: they never move."""
