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
from p2bot_parlai.agents.options.selfplay import check_rewards, receiver_beside, rewards_of
from p2bot_parlai.agents.scoring import Responder
from p2bot_parlai.agents.stock_searches import block_list
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method import backbones
from p2bot_parlai.method.backbones import Backbone
from p2bot_parlai.method.backbones.names import UNTRAINED
from p2bot_parlai.method.backbones.precision import freeze_casts, set_computing
from p2bot_parlai.method.checksums import checksum, weights_checksum
from p2bot_parlai.method.model_files import load_perceiver, load_transmitter
from p2bot_parlai.method.partner import PastSelves
from p2bot_parlai.method.perceiver import Perceiver
from p2bot_parlai.method.reward_models import SupervisedReading, style_prefix
from p2bot_parlai.method.selfplay import Respond, SelfPlay
from p2bot_parlai.method.speakers import Speakers
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.method.transmitter import Transmitter

POOL = 8  # past selves that --partner pool keeps


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


def load_language_model(
    opt: Opt, user: Transmitter, tokenizer: P2botTokenizer, files: FrozenFiles
) -> tuple[Backbone, list[int]]:
    """
    The language model of the style reward, and the ids that it reads before a response.

    :param user: the frozen supervised Transmitter; without another model it reads the response
        alone.
    :raises P2botError: for a language model that is gone, or has another tokenizer.
    """
    text = opt.get("style_prefix")
    text = text and text.replace("\\n", "\n")

    def behind_self(transmitter: Transmitter) -> tuple[Backbone, list[int]]:
        return transmitter.backbone, style_prefix(tokenizer, tokenizer.self_, text)

    before = files.saved.get("language model")
    given = opt.get("language_model") or (before and before["path"])
    if given and PathManager.exists(given) and not PathManager.isdir(given):  # of p2bot
        path = files.path("language model", "--language-model", given, None)
        return behind_self(load_transmitter(path, tokenizer))
    name = given or opt["backbone"]
    learnt = opt["backbone"] in UNTRAINED and not opt.get("tokenizer")
    if given and learnt and not PathManager.exists(given):  # no model of the hub has that tokenizer
        raise P2botError(
            f"--language-model {given}: there is no such file, and this Transmitter's tokenizer, "
            "learnt from its task, needs a model that was trained from it"
        )
    if name in UNTRAINED:
        return behind_self(user)
    if opt["adapter"] != "none" and not opt.get("language_model"):
        pretrained = user.backbone.without_adapters()
        files.note("language model", "--language-model", name, pretrained.base.sha256)
        return pretrained, style_prefix(tokenizer, pretrained.start_token, text)
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
    return pretrained, style_prefix(tokenizer, pretrained.start_token, text)


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
    The self-play of an agent, and the `Models` of its rewards; all are loaded at first use.

    :param opt: of the agent. :param network: the agent's, which learns.
    :param precision: ``fp32`` or ``bf16``.
    :param has_head: whether the user was trained with a next-utterance head.
    :param files: those of the run that is resumed or evaluated.
    """

    def __init__(
        self,
        opt: Opt,
        network: Transmitter,
        precision: str,
        dictionary: P2botDictionary,
        has_head: bool,
        files: FrozenFiles,
    ):
        self.opt, self.network, self.dictionary = opt, network, dictionary
        self.precision = precision
        self.has_head, self.files, self.learns = has_head, files, False
        self.tokenizer, self.gamma = dictionary.p2bot, opt["gamma"]

    @cached_property
    def reading(self) -> SupervisedReading:
        start = self.opt.get("override", {}).get("init_model")
        path = self.files.path("user", "--init-model", start, self.opt.get("model_file"))
        user = load_transmitter(path, self.tokenizer, like=self.network)
        self._freeze(user)
        return SupervisedReading(user, self.tokenizer)

    @cached_property
    def language_model(self) -> tuple[Backbone, list[int]]:
        found = load_language_model(self.opt, self.reading.network, self.tokenizer, self.files)
        self._freeze(found[0])
        return found

    @cached_property
    def perceiver(self) -> Perceiver:
        given = self.opt.get("override", {}).get("receiver")
        # an evaluation may use another Receiver; a resumed run may not
        files = FrozenFiles() if given and not self.learns else self.files
        path = files.path("Receiver", "--receiver", given, self.opt["receiver"])
        found = load_perceiver(path)
        if self.learns:
            warn_of_tau(path, found.tau)
        self._freeze(found.network)
        return found

    @cached_property
    def world(self) -> SelfPlay:
        """
        In evaluation the agent plays with the user that it learnt with, or, if it never played,
        with itself.

        :raises P2botError: for a Receiver, language model or head that is not there.
        """
        opt = self.opt
        if not opt.get("receiver") and opt.get("model_file"):
            # as the web page does; a training run has been told to name one (`check_training`)
            opt["receiver"] = receiver_beside(opt["model_file"])
        check_rewards(opt)
        weights = rewards_of(opt)
        return SelfPlay(
            self.reading,
            self.network,
            self.tokenizer,
            self._user_response(),
            [reward.build(self) for reward in weights],
            {reward.name: weight for reward, weight in weights.items()},
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
        self.world, self.partner  # noqa: B018

    def _freeze(self, network: nn.Module) -> None:
        # the agent learns on the same backbone where they are adapters
        set_computing(network, self.precision)
        freeze_casts(network)
        network.to(self.network.device)

    @cached_property
    def partner(self) -> PastSelves | None:
        """Whom the agent learns with in place of the frozen user (``--partner``)."""
        if self.opt["partner"] == "frozen":
            return None
        found = PastSelves(self.network, 1 if self.opt["partner"] == "latest" else POOL)
        self._freeze(found.network)
        return found

    def _user_response(self) -> Respond | None:
        """How the user answers: by the decoding of a chat; None: by sampling."""
        inference = self.opt["user_inference"]
        if inference == "multinomial":
            return None
        opt = Opt({**self.opt, "inference": inference})
        blocked = block_list(opt, self.dictionary)
        tokens = self.dictionary.p2bot

        def respond(speakers: Speakers) -> list[list[int]]:
            responder = Responder(speakers.network, self.dictionary, opt, blocked)
            whole = speakers.contexts(whole=opt["beam_block_full_context"])
            contexts = pad_sequence([torch.tensor(ids) for ids in whole], True, tokens.pad)
            said = [[tokens.decode(ids) for ids in row] for row in speakers.said]
            found, _ = responder.respond(speakers.states(), contexts, said)
            # ParlAI begins with the start token
            return [tokens.marks.words(ids.tolist()[1:]) for ids, *_ in found]

        return respond
