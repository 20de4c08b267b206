"""What `P2botAgent` needs for self-play: the world, its frozen models, its metrics."""

import json
import os

import torch
from parlai.core.opt import Opt
from parlai.utils import logging
from torch import Tensor, nn

from p2bot_parlai.agents.frozen import FrozenFiles, check_language_model, load_language_style
from p2bot_parlai.agents.options.selfplay import weights_of
from p2bot_parlai.agents.options.transmitter import computing_options
from p2bot_parlai.agents.transmitter import TransmitterAgent
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.precision import freeze_casts, set_computing
from p2bot_parlai.method.model_files import load_perceiver, load_transmitter
from p2bot_parlai.method.reward_models import (
    DiscourseCoherence,
    PersonaPerception,
    Repetition,
    SupervisedReading,
)
from p2bot_parlai.method.rollouts import ScoredRollouts
from p2bot_parlai.method.selfplay import Respond, SelfPlay
from p2bot_parlai.method.speakers import Speakers
from p2bot_parlai.parlai_support.batches import Batch

# what decides the context that a Transmitter was trained with
CONTEXT_OPTIONS = ("history_size", "text_truncate", "label_truncate", "alpha")


def inherit_context_options(opt: Opt) -> None:
    """
    A run that begins from ``--init-model`` reads contexts as that model learnt to, unless
    told otherwise: ParlAI takes no options from there.
    """
    start = opt.get("init_model")
    begins = not (opt.get("model_file") and os.path.exists(opt["model_file"]))
    if not begins or not start or not os.path.exists(f"{start}.opt"):
        return
    with open(f"{start}.opt", encoding="utf-8") as file:
        saved = json.load(file)
    for name in CONTEXT_OPTIONS:
        if name in saved and name not in opt.get("override", {}):
            if opt.get(name) != saved[name]:
                logging.info(f"{name} {saved[name]}, as {start} was trained")
            opt[name] = saved[name]


def build_world(agent, learning: bool) -> SelfPlay:
    """
    The world of a `P2botAgent`, with its frozen models.

    :param learning: in a training run, whose model file will be written over; else the
        agent plays with the user that it learnt with, or, if it never played, with itself.
    :raises P2botError: for a Receiver, language model or head that is not there.
    """
    opt, tokenizer, files = agent.opt, agent.dict.p2bot, agent.files
    weights = weights_of(opt)
    if "coherence" in weights and not agent.has_next_utterance:
        raise P2botError(
            "the coherence reward needs a next-utterance head, and this Transmitter was trained "
            "with --nup-coef 0: train it with the head, or give --lambda-coherence 0"
        )
    if "style" in weights:
        check_language_model(opt, tokenizer)

    def ready(frozen: nn.Module) -> nn.Module:
        set_computing(frozen, computing_options(opt)[0])
        freeze_casts(frozen)
        return frozen.to(agent.device)

    given = opt.get("override", {})
    start = given.get("init_model")
    if learning and not start and "user" not in files.saved:
        raise P2botError(
            f"self-play would write over {opt['model_file']}, which its user is read from: "
            "begin with --init-model that file and another --model-file"
        )
    user_path = files.path("user", "--init-model", start, opt.get("model_file"))
    user = ready(load_transmitter(user_path, tokenizer))
    reading = SupervisedReading(user, tokenizer)
    rewards: list = []
    if "style" in weights:
        style = load_language_style(opt, agent.pretrained, user, tokenizer, files)
        ready(style.backbone)
        rewards.append(style)
    if "coherence" in weights:
        rewards.append(DiscourseCoherence(reading))
    if "persona" in weights:
        # whoever evaluates may choose another Receiver; a run that goes on may not
        chosen = FrozenFiles() if given.get("receiver") and not learning else files
        path = chosen.path("Receiver", "--receiver", given.get("receiver"), opt["receiver"])
        perceiver = load_perceiver(path)
        ready(perceiver.network)
        rewards.append(PersonaPerception(perceiver, opt["gamma"]))
    if "repetition" in weights:
        rewards.append(Repetition())
    return SelfPlay(
        reading,
        agent.network,
        tokenizer,
        user_response(agent, user),
        rewards,
        weights,
        opt["selfplay_turns"],
        agent.label_truncate,
        agent.text_truncate,
        opt["history_size"],
    )


def user_response(agent, user) -> Respond | None:
    """How the frozen user answers: by the decoding of a chat; None: by sampling."""
    inference = agent.opt["user_inference"]
    if inference == "multinomial":
        return None
    # a clone that decodes with the frozen network
    opt = Opt({**agent.opt, "inference": inference})
    shared = {**agent.share(), "model": user, "opt": opt}
    speaker = TransmitterAgent(opt, shared)

    def respond(interlocutors: Speakers) -> list[list[int]]:
        states = interlocutors.states()
        size = len(interlocutors.heads)
        batch = Batch(batchsize=size, text_vec=torch.zeros(size, 1, dtype=torch.long))
        batch = batch.to(agent.device)
        batch["context_states"] = states
        best, _ = speaker._generate(batch, speaker.beam_size, agent.label_truncate)
        kept = []
        for tokens, *_ in best:
            ids = tokens.tolist()[1:]  # ParlAI begins with the start token
            kept.append(ids[: ids.index(speaker.END_IDX)] if speaker.END_IDX in ids else ids)
        return kept

    return respond


def dialogue_metrics(judged: ScoredRollouts, divergence: Tensor) -> dict[str, list[float]]:
    """
    What the report shows, one value a dialogue: the mean over its turns of each reward,
    raw and weighted, of their sum, of each reward turn by turn, and of the KL divergence.
    """
    played = judged.played
    size, turns = played.shape
    values = {"reward": judged.total}
    for name, raw in judged.raw.items():
        values[name] = raw
        values[f"weighted_{name}"] = judged.weights[name] * raw
    if judged.perceptions:
        values["perception"], values["user_perception"] = judged.perceptions
    values["kl"] = divergence.view(size, turns)
    lengths = [[len(row[b].response) for row in played.turns] for b in range(size)]
    values["length"] = torch.tensor(lengths, dtype=torch.float)
    metrics = {name: value.mean(dim=1).tolist() for name, value in values.items()}
    for name, raw in judged.raw.items():
        for n in range(turns):
            metrics[f"{name}_turn{n + 1}"] = raw[:, n].tolist()
    return metrics


def refuse_broken(judged: ScoredRollouts, model_file: str | None) -> None:
    """
    :raises P2botError: where a reward, or a probability that was sampled from, is no number;
        the dialogue is saved first.
    """
    sound = torch.stack([s.isfinite().all(dim=1) for s in judged.played.sampled_scores])
    for row, sampled in enumerate(sound.all(dim=0).tolist()):
        broken = [f"the reward {n} is" for n, raw in judged.raw.items() if not _finite(raw[row])]
        if not sampled:
            # whatever a diverged agent says, the frozen models find a reward for it
            broken.append("the probabilities of the agent are")
        if broken:
            path = f"{model_file or 'p2bot'}.broken_dialogue.json"
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                json.dump(judged.transcript(row), file, indent=1)
            raise P2botError(
                f"{broken[0]} infinite or no number; the dialogue is in {path}. "
                "Nothing was learnt from it: lower --learningrate, or check the models"
            )


def _finite(values: Tensor) -> bool:
    return bool(values.isfinite().all())
