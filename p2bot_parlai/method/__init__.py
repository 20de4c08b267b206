"""The method of the paper: Transmitter, Receiver, rewards and self-play. Knows no ParlAI."""
