"""``parlai interactive -t p2bot:chat``: talk with a bot, and see what it perceives."""
