"""Option presets (`-o p2bot/<name>` reads <name>.opt here) and the models of `zoo:p2bot/`."""
