"""``-t p2bot:selfplay``: two interlocutors with drawn personas (paper, section 3.2)."""
