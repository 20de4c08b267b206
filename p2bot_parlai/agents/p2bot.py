"""``-m p2bot``: the Transmitter, to be trained supervised and by self-play."""

from p2bot_parlai.agents.transmitter import TransmitterAgent


class P2botAgent(TransmitterAgent):
    """P²Bot. From ordinary teachers it learns as `TransmitterAgent` does."""
