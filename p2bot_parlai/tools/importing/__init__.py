"""Dialogues of other forms as ConvAI2's: `parlai import_dialogues`."""
