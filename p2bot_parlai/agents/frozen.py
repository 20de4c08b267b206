"""The frozen models of self-play: where they come from, and that they stay what they were."""

from parlai.core.opt import Opt
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method import backbones
from p2bot_parlai.method.backbones.names import UNTRAINED
from p2bot_parlai.method.model_files import (
    checksum,
    load_transmitter,
    read_tokenizer,
    weights_checksum,
)
from p2bot_parlai.method.reward_models import LanguageStyle
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.method.transmitter import Transmitter


class FrozenFiles:
    """
    The files that a run's frozen models were read from, by path and checksum.

    They are no part of a saved model: a chat needs none of them. A resumed run reads them
    again and makes sure that they are the same.

    :param saved: what an earlier run recorded: role -> {"path", "sha256"}.
    """

    def __init__(self, saved: dict | None = None):
        self.saved = saved or {}
        self.used: dict[str, dict] = {}

    def path(self, role: str, flag: str, given: str | None, default: str | None) -> str:
        """
        Which file to read, noted for the next `to_json`.

        :param given: what the user said now. :param default: for a run that begins.
        :raises P2botError: where the file is gone, or is not the one of the earlier run.
        """
        before = self.saved.get(role)
        path = given or (before["path"] if before else default)
        if path is None or not PathManager.exists(path):
            raise P2botError(
                f"the {role} of this self-play run, {path}, is gone: name it by {flag}"
            )
        self.note(role, flag, str(path), checksum(path))
        return path

    def note(self, role: str, flag: str, path: str, found: str) -> None:
        """
        A model that was read, for the next `to_json`. :param found: its checksum.

        :raises P2botError: where it is not the one of the earlier run.
        """
        before = self.saved.get(role)
        if before and found != before["sha256"]:
            raise P2botError(
                f"{path} is not the {role} that this self-play run began with: put it back, "
                f"or name another copy of it by {flag}"
            )
        self.used[role] = {"path": path, "sha256": found}

    def to_json(self) -> dict:
        return {**self.saved, **self.used}


def is_language_model_of_ours(name: str) -> bool:
    """Whether ``--language-model`` names a model file of p2bot, not a folder or hub name."""
    return PathManager.exists(name) and not PathManager.isdir(name)


def check_language_model(opt: Opt, tokenizer: P2botTokenizer) -> None:
    """:raises P2botError: where its tokenizer is not the Transmitter's; reads no weights."""
    name = opt.get("language_model")
    if not name:
        return
    if is_language_model_of_ours(name):
        other = read_tokenizer(f"{name}.dict")
    else:
        other = P2botTokenizer.from_pretrained(backbones.backbone_path(name), tokenizer.style)
    if other.fingerprint() != tokenizer.fingerprint():
        raise P2botError(
            f"--language-model {name} has another tokenizer than the Transmitter, so it cannot "
            "score its tokens: choose one with the same, or leave the option out"
        )


def load_language_style(
    opt: Opt, backbone: str, user: Transmitter, tokenizer: P2botTokenizer, files: FrozenFiles
) -> LanguageStyle:
    """
    The style reward with its language model.

    :param backbone: ``--backbone`` that the Transmitter was trained from.
    :param user: the frozen supervised Transmitter.
    """
    name = opt.get("language_model")
    before = files.saved.get("language model")
    if name is None and before:
        name = before["path"]
    if name and is_language_model_of_ours(name):
        path = files.path("language model", "--language-model", name, None)
        lm = load_transmitter(path, tokenizer)
        return LanguageStyle(lm.backbone, [tokenizer.self_], tokenizer)
    name = name or (None if backbone in UNTRAINED else backbone)
    if name is None:
        return LanguageStyle(user.backbone, [tokenizer.self_], tokenizer)
    try:
        pretrained = backbones.load_backbone(name).eval().requires_grad_(False)
    except P2botError as error:
        raise P2botError(
            f"the language model of the style reward: {error}. Name another copy of it by "
            "--language-model, or leave the reward out by --lambda-style 0"
        ) from error
    files.note("language model", "--language-model", name, weights_checksum(pretrained))
    start = pretrained.start_token
    return LanguageStyle(pretrained, [] if start is None else [start], tokenizer)
