from p2bot_parlai.agents.random_perception import RandomPerceptionAgent  # noqa: F401
