"""
What `P2botAgent` needs for self-play besides its own network: frozen models and the game.

A saved model does not contain them, since a chat needs none of them; it names their files. A
resumed run reads them again and checks that they are the same.
"""

from functools import cached_property

import torch
from parlai.core.opt import Opt
from parlai.utils import logging
from parlai.utils.io import PathManager
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from p2bot_parlai.agents.dictionary import P2botDictionary
from p2bot_parlai.agents.options.selfplay import check_rewards, receiver_beside, weights_of
from p2bot_parlai.agents.scoring import Responder, block_list
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method import backbones
from p2bot_parlai.method.backbones.names import UNTRAINED
from p2bot_parlai.method.backbones.precision import freeze_casts, set_computing
from p2bot_parlai.method.checksums import checksum, weights_checksum
from p2bot_parlai.method.model_files import load_perceiver, load_transmitter
from p2bot_parlai.method.reward_models import (
    DiscourseCoherence,
    LanguageStyle,
    PersonaPerception,
    Repetition,
    Reward,
    SupervisedReading,
)
from p2bot_parlai.method.selfplay import Respond, SelfPlay
from p2bot_parlai.method.speakers import Speakers
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.method.transmitter import Transmitter


class FrozenFiles:
    """
    The files that a run's frozen models were read from, by path and checksum.

    :param saved: what an earlier run recorded: role -> {"path", "sha256"}.
    """

    def __init__(self, saved: dict | None = None):
        self.saved = saved or {}
        self.used: dict[str, dict] = {}

    def path(self, role: str, flag: str, given: str | None, default: str | None) -> str:
        """
        The file to read, recorded for `to_json`.

        :param given: by the user. :param default: for a new run.
        :raises P2botError: if the file is gone, or is not that of the earlier run.
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
        Record a model that was read. :param found: its checksum.

        :raises P2botError: if it is not that of the earlier run.
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


def load_language_style(
    opt: Opt, user: Transmitter, tokenizer: P2botTokenizer, files: FrozenFiles
) -> LanguageStyle:
    """
    The style reward with its language model.

    :param user: the frozen supervised Transmitter; without another model it reads the response
        alone.
    :raises P2botError: for a language model that is gone, or has another tokenizer.
    """
    before = files.saved.get("language model")
    given = opt.get("language_model") or (before and before["path"])
    if given and PathManager.exists(given) and not PathManager.isdir(given):  # of p2bot
        path = files.path("language model", "--language-model", given, None)
        lm = load_transmitter(path, tokenizer)
        return LanguageStyle(lm.backbone, [tokenizer.self_], tokenizer)
    name = given or opt["backbone"]
    learnt = opt["backbone"] in UNTRAINED and not opt.get("tokenizer")
    if given and learnt and not PathManager.exists(given):  # no model of the hub has that tokenizer
        raise P2botError(
            f"--language-model {given}: there is no such file, and this Transmitter's tokenizer, "
            "learnt from its task, needs a model that was trained from it"
        )
    if name in UNTRAINED:
        return LanguageStyle(user.backbone, [tokenizer.self_], tokenizer)
    if opt["adapter"] != "none" and not opt.get("language_model"):
        pretrained = user.backbone.without_adapters()
        files.note("language model", "--language-model", name, pretrained.base.sha256)
        start = pretrained.start_token
        return LanguageStyle(pretrained, [] if start is None else [start], tokenizer)
    try:
        pretrained = backbones.load_backbone(name).eval().requires_grad_(False)
    except P2botError as error:
        raise P2botError(
            f"the language model of the style reward: {error}. Name another copy of it by "
            "--language-model, or leave the reward out by --lambda-style 0"
        ) from error
    its_own = P2botTokenizer.from_pretrained(backbones.backbone_path(name), tokenizer.style)
    if its_own.fingerprint() != tokenizer.fingerprint():
        raise P2botError(
            f"--language-model {name} has another tokenizer than the Transmitter, so it cannot "
            "score its tokens: choose one with the same, or leave the option out"
        )
    files.note("language model", "--language-model", name, weights_checksum(pretrained))
    start = pretrained.start_token
    return LanguageStyle(pretrained, [] if start is None else [start], tokenizer)


def warn_of_tau(path: str, tau: float) -> None:
    """Say it where a Receiver's best model is of a time when its tau was still high."""
    saved = Opt.load(f"{path}.opt") if PathManager.exists(f"{path}.opt") else {}
    end = saved.get("tau_end", tau)
    if tau > 2 * end:
        logging.warning(
            f"{path} was best before its training ended, at tau {tau:.3g} instead of {end:.3g}, so "
            "the persona reward is closer to a mean over the profile sentences than to the best of "
            "them (Eq. 13): a Receiver trained longer, or with a lower --tau-start, may help"
        )


class SelfPlaySetup:
    """
    The self-play of an agent; its frozen models are loaded at first use.

    :param opt: of the agent. :param network: the agent's, which learns.
    :param has_head: whether that was trained with a next-utterance head.
    :param files: those of the run that is resumed or evaluated.
    """

    def __init__(
        self,
        opt: Opt,
        network: Transmitter,
        dictionary: P2botDictionary,
        has_head: bool,
        files: FrozenFiles,
    ):
        self.opt, self.network, self.dictionary = opt, network, dictionary
        self.has_head, self.files, self.learns = has_head, files, False

    @cached_property
    def world(self) -> SelfPlay:
        """
        In evaluation the agent plays with the user that it learnt with, or, if it never played,
        with itself.

        :raises P2botError: for a Receiver, language model or head that is not there.
        """
        opt, tokenizer = self.opt, self.dictionary.p2bot
        if not opt.get("receiver") and opt.get("model_file"):
            # as the web page does; a training run has been told to name one (`check_training`)
            opt["receiver"] = receiver_beside(opt["model_file"])
        check_rewards(opt)
        weights = weights_of(opt)
        if "coherence" in weights and not self.has_head:
            raise P2botError(
                "the coherence reward needs a next-utterance head, and this Transmitter was "
                "trained with --nup-coef 0: train it with the head, or give --lambda-coherence 0"
            )
        start = opt.get("override", {}).get("init_model")
        path = self.files.path("user", "--init-model", start, opt.get("model_file"))
        user = load_transmitter(path, tokenizer, like=self.network)
        self._freeze(user)
        reading = SupervisedReading(user, tokenizer)
        rewards: list[Reward] = []
        if "style" in weights:
            style = load_language_style(opt, user, tokenizer, self.files)
            self._freeze(style.backbone)
            rewards.append(style)
        if "coherence" in weights:
            rewards.append(DiscourseCoherence(reading))
        if "persona" in weights:
            rewards.append(self._perception())
        if "repetition" in weights:
            rewards.append(Repetition())
        return SelfPlay(
            reading,
            self.network,
            tokenizer,
            self._user_response(user),
            rewards,
            weights,
            opt["selfplay_turns"],
            opt["label_truncate"],
            opt["text_truncate"],
            opt["history_size"],
        )

    def begin_training(self) -> None:
        """
        Load the frozen models.

        :raises P2botError: where training would write over the file of its user.
        """
        self.learns = True
        start = self.opt.get("override", {}).get("init_model")
        if not start and "user" not in self.files.saved:
            raise P2botError(
                f"self-play would write over {self.opt['model_file']}, which its user is read "
                "from: give that file to --init-model, and another --model-file"
            )
        self.world  # noqa: B018

    def _freeze(self, network: nn.Module) -> None:
        # the agent learns on the same backbone where they are adapters
        set_computing(network, self.opt["precision"], gradient_checkpointing=None)
        freeze_casts(network)
        network.to(self.network.device)

    def _perception(self) -> PersonaPerception:
        given = self.opt.get("override", {}).get("receiver")
        # an evaluation may use another Receiver; a resumed run may not
        files = FrozenFiles() if given and not self.learns else self.files
        path = files.path("Receiver", "--receiver", given, self.opt["receiver"])
        perceiver = load_perceiver(path)
        if self.learns:
            warn_of_tau(path, perceiver.tau)
        self._freeze(perceiver.network)
        return PersonaPerception(perceiver, self.opt["gamma"])

    def _user_response(self, user: Transmitter) -> Respond | None:
        """How the frozen user answers: by the decoding of a chat; None: by sampling."""
        inference = self.opt["user_inference"]
        if inference == "multinomial":
            return None
        opt = Opt({**self.opt, "inference": inference})
        blocked = block_list(opt, self.dictionary)
        responder = Responder(user, self.dictionary, opt, blocked)

        def respond(speakers: Speakers) -> list[list[int]]:
            contexts = [torch.tensor(ids) for ids in speakers.contexts()]
            found, _ = responder.respond(speakers.states(), pad_sequence(contexts, True))
            marks = self.dictionary.p2bot.marks
            # ParlAI begins with the start token
            return [marks.words(tokens.tolist()[1:]) for tokens, *_ in found]

        return respond
