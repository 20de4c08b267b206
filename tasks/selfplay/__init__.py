"""``-t p2bot:selfplay``: two speakers with random personas (paper, section 3.2)."""
