"""Option presets (`-o p2bot/<name>` reads <name>.opt here) and the models behind `zoo:p2bot/`."""
