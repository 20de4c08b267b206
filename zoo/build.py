"""
Called by ParlAI for `zoo:p2bot/<name>/model` where no module in plugin/names/zoo says otherwise.
"""


def download(datapath: str) -> None:
    """Nothing ships: the model's files must be in <datapath>/models/p2bot/<name>."""
