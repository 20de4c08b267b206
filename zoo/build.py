"""What ParlAI calls when it meets `zoo:p2bot/<name>/model`."""

from pathlib import Path


def download(datapath: str) -> None:
    """
    Only p2bot/sketch ships (see `p2bot_parlai.zoo.sketch`); the files of any other model are
    put in place by hand.

    ParlAI then reads <datapath>/models/p2bot/<name>/model.
    """
    folder = Path(datapath) / "models" / "p2bot"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"zoo:p2bot/ names models below {folder}, which is not there. Only "
            "zoo:p2bot/sketch/model and receiver ship: copy a trained model's files "
            "to <that folder>/<name>/ first."
        )
