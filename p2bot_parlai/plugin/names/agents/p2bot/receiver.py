from p2bot_parlai.agents.receiver import ReceiverAgent  # noqa: F401
