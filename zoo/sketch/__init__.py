"""``zoo:p2bot/sketch/model`` and ``receiver``: small, trained on `p2bot:sketch` by ``make zoo``."""
