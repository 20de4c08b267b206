"""`-t p2bot:<teacher>`: agents.py holds the teachers, worlds.py the worlds."""
