from p2bot_parlai.agents.transmitter import TransmitterAgent  # noqa: F401
