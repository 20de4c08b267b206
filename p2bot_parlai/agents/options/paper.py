"""
The paper's constants: options take their defaults from here, but for the lambdas of Eq. 10, which
are with their rewards in `p2bot_parlai.method.reward_models`.
"""

# name: (value, where the paper gives it)
TABLE = {
    # supervised training of both networks
    "learningrate": (6.25e-5, "section 5.1"),
    "optimizer": ("adam", "section 5.1"),
    # Transmitter
    "transmitter_epochs": (2, "section 5.1"),
    "num_distractors": (1, "section 3.1"),
    "alpha": (0.1, "Eq. 3, section 5.1"),
    "beam_size": (2, "section 5.1"),
    "label_truncate": (32, "section 3.2"),
    # Receiver
    "tau_start": (10.0, "Eq. 13, section 5.1"),
    "tau_end": (0.5, "Eq. 13, section 5.1"),
    "margin": (0.4, "Eq. 12, section 5.1"),
    "beta": (1e-4, "Eq. 12, section 5.1"),
    # self-play
    "selfplay_learningrate": (1e-6, "section 5.1"),
    "selfplay_epochs": (1, "section 5.1"),
    "selfplay_turns": (3, "section 5.1"),
    "gamma": (0.5, "Eq. 8, section 5.1"),
}
PAPER = {name: value for name, (value, _) in TABLE.items()}
