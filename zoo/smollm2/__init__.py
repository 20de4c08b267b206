"""``zoo:p2bot/smollm2/model``, ``supervised`` and ``receiver``: see README.md."""
