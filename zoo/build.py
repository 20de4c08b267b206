"""What ParlAI calls when it meets `zoo:p2bot/<name>/model`."""

from pathlib import Path


def download(datapath: str) -> None:
    """No weights are published: the files of a trained model are put in place by hand.

    ParlAI then reads <datapath>/models/p2bot/<name>/model.
    """
    folder = Path(datapath) / "models" / "p2bot"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"zoo:p2bot/ names models below {folder}, which is not there. p2bot_parlai publishes "
            "no weights: copy a trained model's files to <that folder>/<name>/ first."
        )
