"""The classes of Dialogue NLI, apart from what uses them: every `parlai` command imports this."""

# what each counts in the C-score (Madotto et al., 2019)
VALUES = {"positive": 1, "neutral": 0, "negative": -1}
LABELS = tuple(VALUES)
