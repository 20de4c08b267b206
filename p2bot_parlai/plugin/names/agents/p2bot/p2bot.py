from p2bot_parlai.agents.p2bot import P2botAgent  # noqa: F401
