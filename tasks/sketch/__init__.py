"""A corpus of persona dialogues, generated from a grammar and a seed."""
