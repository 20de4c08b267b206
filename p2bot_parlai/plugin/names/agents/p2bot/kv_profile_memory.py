from p2bot_parlai.agents.kv_profile_memory import KvProfileMemoryAgent  # noqa: F401
