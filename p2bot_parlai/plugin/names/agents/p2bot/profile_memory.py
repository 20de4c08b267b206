from p2bot_parlai.agents.profile_memory import ProfileMemoryAgent  # noqa: F401
