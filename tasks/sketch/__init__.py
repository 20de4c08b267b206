"""A corpus of persona dialogues that the project makes itself, from a grammar and a seed."""
