"""Folders that plugin.py adds to parlai.agents, .tasks and .zoo. Re-exports only."""
