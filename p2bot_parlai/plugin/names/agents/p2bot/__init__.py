"""`-m p2bot` and `-m p2bot/<module>`: one module for each agent, named like its home."""
