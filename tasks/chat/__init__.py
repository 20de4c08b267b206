"""``parlai interactive -t p2bot:chat``: talk with a bot, and look at what it perceives."""
