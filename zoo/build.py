"""Called by ParlAI for `zoo:p2bot/<name>/model`."""

from pathlib import Path


def download(datapath: str) -> None:
    """
    Only p2bot/sketch ships (see `p2bot_parlai.zoo.sketch`); copy the files of any other model into
    place yourself.

    ParlAI then reads <datapath>/models/p2bot/<name>/model.
    """
    folder = Path(datapath) / "models" / "p2bot"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"zoo:p2bot/ refers to models in {folder}, which does not exist. Only "
            "zoo:p2bot/sketch/model and receiver ship: copy a trained model's files "
            "to <that folder>/<name>/ first."
        )
