"""Called by ParlAI for `zoo:p2bot/<name>/model`."""

from pathlib import Path


def download(datapath: str) -> None:
    """
    Only p2bot/sketch ships (see `p2bot_parlai.zoo.sketch`); any other model's files must be in
    <datapath>/models/p2bot/<name>.
    """
    folder = Path(datapath) / "models" / "p2bot"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no {folder}. Only zoo:p2bot/sketch/model and receiver ship: for others, "
            "copy a trained model's files to <that folder>/<name>/ first."
        )
