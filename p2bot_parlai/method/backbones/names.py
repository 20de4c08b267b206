"""Names that ``--backbone`` and ``--encoder`` take besides hub names and folders."""

# presets of --backbone that are not hub names themselves
ALIASES = {"openai-gpt": "openai-community/openai-gpt", "gpt2": "openai-community/gpt2"}
SCRATCH, SKETCH = "scratch", "sketch"
# random weights: the vocabulary is learnt from the task, the sizes are options
UNTRAINED = (SCRATCH, SKETCH)
