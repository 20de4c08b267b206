"""
P²Bot as a Python object: ``from p2bot_parlai import P2Bot``.

It has two networks: a Transmitter, which talks and ranks, and a Receiver, which perceives. See
docs/api.md and examples/.
"""

import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from parlai.core.agents import create_agent
from parlai.core.params import ParlaiParser
from parlai.utils import logging
from parlai.utils.io import PathManager

from p2bot_parlai.agents.options import folders
from p2bot_parlai.agents.options.selfplay import receiver_beside
from p2bot_parlai.agents.transmitter import TransmitterAgent
from p2bot_parlai.chat import arguments
from p2bot_parlai.chat.conversation import Conversation, Scored, Speaker, Utterance
from p2bot_parlai.chat.personas import Persona
from p2bot_parlai.chat.replies import Decoding
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.folders import ADAPTER, description_of, folder_of
from p2bot_parlai.method.backbones.precision import freeze_casts
from p2bot_parlai.method.model_files import load_perceiver
from p2bot_parlai.method.perceiver import Perceiver
from p2bot_parlai.method.spelling import CorpusSpelling
from p2bot_parlai.parlai_support import opt_files
from p2bot_parlai.parlai_support.names import no_model, register_names, zoo_path


class Impression(NamedTuple):
    """
    :param sentence: of the bank. :param score: how strongly the utterances reveal it.
    :param utterance: the one that reveals it most.
    """

    sentence: str
    score: float
    utterance: str


def _start_of(name: str) -> dict[str, str]:
    """Options that begin with a model file or, where there is none of that name, a folder."""
    on_hub = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) and not os.path.exists(name)
    if not (os.path.isdir(name) or on_hub):
        return {"model_file": name}
    try:
        folder = folder_of(name)
    except P2botError as error:
        raise P2botError(f"{no_model(name)}: {error}") from error
    if os.path.exists(os.path.join(folder, ADAPTER)):
        return {"model": "p2bot", "adapter": folder}
    if not description_of(folder):
        raise P2botError(f"{name} is neither an adapter nor a folder of parlai export_hf")
    return {"model": "p2bot", "backbone": folder}


def _load_agent(name: str, options: dict) -> TransmitterAgent:
    register_names()  # zoo:p2bot/...
    opt_files.install()
    start = _start_of(name)
    with _quiet():
        try:
            # not "train", ParlAI's default: that would build an optimizer
            given = {"datatype": "valid", **options, **start}
            opt = ParlaiParser(True, True).parse_kwargs(**given)
        except (ValueError, KeyError) as error:  # values that ParlAI refuses, unknown names
            raise P2botError(f"P2Bot.load cannot use these options: {error}") from error
        except ImportError as error:  # ParlAI's, of a zoo name
            raise P2botError(no_model(name)) from error
        path = opt["model_file"]
        if path and not PathManager.exists(path):
            raise P2botError(f"{no_model(path)}; train one with -m p2bot")
        if not given.get("model"):
            # before it is built: ParlAI's own agents unpickle what they load
            kind = opt_files.agent_class(path) or object
            if not issubclass(kind, TransmitterAgent):
                raise P2botError(f"{path} is not a Transmitter (-m p2bot)")
        agent = create_agent(opt)
    agent.model.eval().requires_grad_(False)
    freeze_casts(agent.model)  # bf16 would cast every matrix again at every token
    return agent


@contextmanager
def _quiet() -> Iterator[None]:
    """ParlAI logs every option and weight; a program prints its own messages."""
    level = logging.logger.level
    logging.logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.logger.setLevel(level)


class P2Bot(Conversation):
    """
    A loaded bot. It is a conversation itself; `conversation` opens more.

    Conversations may run in separate threads: they share nothing but the weights.
    """

    def __init__(
        self,
        agent: TransmitterAgent,
        receiver: str | None,
        persona: Persona | None = (),
        partner_persona: Persona | None = (),
        seed: int | None = None,
        raw_text: bool = False,
    ):
        """:param receiver: model file of a Receiver; loaded at first use."""
        spelling = CorpusSpelling() if raw_text else agent.spelling
        super().__init__(Speaker(agent, spelling), persona, partner_persona, seed)
        self._model, self._raw_text, self._receiver = agent.opt["model_file"], raw_text, receiver
        self._perceiver: Perceiver | None = None
        self._receiver_lock = threading.RLock()

    @classmethod
    def load(
        cls,
        model_file: str | os.PathLike,
        *,
        receiver: str | os.PathLike | None = None,
        datapath: str | os.PathLike | None = None,
        persona: Persona | None = (),
        partner_persona: Persona | None = (),
        seed: int | None = None,
        device: str | torch.device | None = None,
        raw_text: bool = False,
        **options: Any,
    ) -> "P2Bot":
        """
        :param model_file: trained with ``-m p2bot``; or a zoo name, ``zoo:p2bot/smollm2/model``;
            or a folder of ``parlai export_hf``, also by its hub name.
        :param receiver: a Receiver, likewise; default: the file ``receiver`` beside the model,
            if there is one.
        :param datapath: ParlAI's data folder, which holds zoo models.
        :param persona: see `Conversation`, also for ``partner_persona`` and ``seed``.
        :param device: "cpu", "cuda", "cuda:1" or a torch.device, for both networks; default: a
            GPU, if there is one.
        :param raw_text: texts are read and returned in the spelling of the training data.
        :param options: those of ``parlai interactive``, e.g. ``inference="nucleus"``,
            ``topp=0.9``, ``beam_size=4``; default: the model's own.
        :raises P2botError: for a model that is missing, damaged, or of another kind, for
            options unknown to ParlAI, and for a device that is not there.
        :raises TypeError: for an argument of another type, here and below.
        """
        # before anything is loaded
        name = arguments.path("model_file", model_file)
        persona = arguments.persona("persona", persona)
        partner_persona = arguments.persona("partner_persona", partner_persona)
        arguments.seed(seed)
        arguments.yes_or_no("raw_text", raw_text)
        if receiver is not None:
            receiver = arguments.path("receiver", receiver)
        if datapath is not None:
            options["datapath"] = arguments.path("datapath", datapath)
        options |= arguments.device_options(device, options)
        agent = _load_agent(name, options)
        if receiver is not None:
            found = zoo_path(agent.opt["datapath"], receiver, "receiver")
        else:
            found = receiver_beside(agent.opt["model_file"] or f"{folders.folder_in(agent.opt)}/")
        bot = cls(agent, found, persona, partner_persona, seed, raw_text)
        bot._model = name
        if receiver is not None:
            with bot.perceiver():  # fail now rather than at first use
                pass
        return bot

    def conversation(
        self,
        persona: Persona | None = (),
        partner_persona: Persona | None = (),
        seed: int | None = None,
        turns: Iterable[Utterance] = (),
        decoding: Decoding | None = None,
    ) -> Conversation:
        """Another conversation with the same weights and its own persona; see `Conversation`."""
        return Conversation(self._speaker, persona, partner_persona, seed, turns, decoding)

    def _name(self) -> str:
        return f"P2Bot {self._model} on {self._speaker.agent.device}"

    def __getstate__(self) -> dict:
        return {n: value for n, value in super().__getstate__().items() if n != "_receiver_lock"}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state, _receiver_lock=threading.RLock())

    # --------------------------------------------------------------------------- perception
    def perceive(self, utterance: str, persona: Persona) -> list[Scored]:
        """
        How strongly an utterance reveals each profile sentence: its row of Eq. 11.

        :return: one for each sentence, in order.
        :raises P2botError: without a Receiver.
        """
        persona = arguments.texts("persona", persona)
        (row,) = self.relevance([arguments.text("utterance", utterance)], persona)
        return list(map(Scored, persona, row))

    def relevance(self, utterances: Sequence[str], persona: Persona) -> list[list[float]]:
        """
        Figure 6: U of Eq. 11, one row per utterance, one column per profile sentence.

        :raises P2botError: without a Receiver.
        """
        utterances = arguments.texts("utterances", utterances)
        persona = arguments.texts("persona", persona)
        with self.perceiver() as perceiver:
            return perceiver.relevance(*perceiver.typed(utterances, persona)).tolist()

    def impression(
        self, utterances: Sequence[str], bank: Sequence[str], top: int = 5
    ) -> list[Impression]:
        """
        Who somebody may be: the profile sentences of a bank that best fit their utterances.

        Not in the paper, which names persona inference as future work. A sentence's score is
        Agg (Eq. 13) over the utterances, as in the evaluation of the Receiver.

        :param utterances: of one speaker. :param bank: possible profile sentences.
        :param top: how many to return at most, best first.
        :raises P2botError: without a Receiver, utterances or sentences.
        """
        spoken = [said for said in arguments.texts("utterances", utterances) if said.strip()]
        sentences = list(dict.fromkeys(arguments.texts("bank", bank)))
        if not spoken or not sentences:
            raise P2botError("an impression needs an utterance and a bank of profile sentences")
        top = arguments.whole_number("top", top, 1)
        with self.perceiver() as perceiver:
            heard, profiles = perceiver.typed(spoken, sentences)
            scores = perceiver.sentence_relevance([heard], profiles)[0]  # (K,)
            shown_by = perceiver.relevance(heard, profiles).argmax(dim=0)  # (N, K) -> (K,)
        order = scores.sort(descending=True, stable=True).indices[:top].tolist()
        return [Impression(sentences[i], scores[i].item(), spoken[shown_by[i]]) for i in order]

    @contextmanager
    def perceiver(self) -> Iterator[Perceiver]:
        """
        The Receiver, for one thread at a time.

        :raises P2botError: if there is none.
        """
        with self._receiver_lock:
            if self._perceiver is None:
                if self._receiver is None:
                    raise P2botError(
                        "this needs a Receiver: P2Bot.load(..., receiver=MODEL), trained with "
                        "-m p2bot/receiver"
                    )
                self._perceiver = load_perceiver(self._receiver)
                self._perceiver.network.to(self._speaker.agent.device)
                if self._raw_text:
                    self._perceiver.spelling = CorpusSpelling()
            yield self._perceiver

    @property
    def speaker(self) -> Speaker:
        """The loaded Transmitter, with the lock to hold while using its network."""
        return self._speaker
