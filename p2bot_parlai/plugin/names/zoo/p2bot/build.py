from p2bot_parlai.zoo.build import download  # noqa: F401
