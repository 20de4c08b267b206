"""What each system answers: a ParlAI model, a file of answers, or the human of the task."""

from collections.abc import Iterator, Sequence

import torch
from parlai.core.agents import Agent, create_agent
from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.torch_generator_agent import TorchGeneratorAgent
from parlai.utils.io import PathManager
from tqdm import tqdm

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import Dialogue
from p2bot_parlai.parlai_support.files import parse_json
from p2bot_parlai.tools.human_eval.sampling import Sample, label_of, one_line

HUMAN = "human"
ANSWER_FILES = (".jsonl", ".json")


def parse_systems(given: Sequence[str] | None) -> dict[str, str]:
    """
    ``NAME=MODEL`` or ``NAME=ANSWERS.jsonl`` -> name -> path, in order.

    :raises P2botError: for any other form, a repeated name, or the name kept for the human.
    """
    systems: dict[str, str] = {}
    for text in given or ():
        name, _, path = (part.strip() for part in text.partition("="))
        if not name or not path:
            raise P2botError(f"--systems {text}: write NAME=MODEL or NAME=ANSWERS.jsonl")
        if name.lower() == HUMAN:
            raise P2botError(f"--systems {text}: {HUMAN} is the task's own answer (--human)")
        if name in systems:
            raise P2botError(f"--systems names {name} twice")
        systems[name] = path
    return systems


def collect(
    systems: dict[str, str], samples: Sequence[Sample], opt: Opt, human: bool, seed: int
) -> dict[str, list[str]]:
    """
    Name -> its answer to each sample; ``human`` comes first.

    :param systems: see `parse_systems`. :param opt: data path and batch size.
    :param seed: of sampled decoding.
    """
    if not systems and not human:
        raise P2botError("there are no systems: use --systems NAME=MODEL or --human true")
    for name, path in systems.items():  # before the first model runs
        if not path.startswith("zoo:") and not PathManager.exists(path):
            raise P2botError(f"--systems {name}={path}: there is no such file")
    found: dict[str, list[str]] = {}
    if human:
        found[HUMAN] = [_human(sample) for sample in samples]
    for name, path in systems.items():
        if path.endswith(ANSWER_FILES):
            found[name] = from_file(path, samples)
        else:
            torch.manual_seed(seed)
            found[name] = ask(load(path, opt), samples, opt["batchsize"], name)
    return found


def _human(sample: Sample) -> str:
    if not sample.label:
        raise P2botError(f"{sample.task} has no human answers here: --human false")
    return sample.label


# --------------------------------------------------------------------------- models
def load(path: str, opt: Opt) -> Agent:
    """Any ParlAI model, with the decoding options that it was saved with."""
    given = {"datatype": "valid", "datapath": opt["datapath"], "skip_generation": False}
    try:
        options = ParlaiParser(True, True).parse_kwargs(model_file=path, **given)
    except KeyError:  # an agent without this option, such as a ranker
        del given["skip_generation"]
        options = ParlaiParser(True, True).parse_kwargs(model_file=path, **given)
    options["override"]["interactive_mode"] = False
    return create_agent(options, requireModelExists=True)


def ask(agent: Agent, samples: Sequence[Sample], batchsize: int, name: str) -> list[str]:
    """
    The agent's answer to each sample, as in `eval_model`: earlier turns hold the human's answers.
    """
    answers = []
    with tqdm(total=len(samples), desc=name, unit="response", disable=None) as bar:
        for start in range(0, len(samples), batchsize):
            batch = samples[start : start + batchsize]
            clones = [agent.clone() for _ in batch]
            heard = [_hear(clone, s) for clone, s in zip(clones, batch, strict=True)]
            if hasattr(agent, "batch_act"):
                replies = agent.batch_act(heard)
            else:
                replies = [clone.act() for clone in clones]
            for sample, reply in zip(batch, replies, strict=True):
                if reply.get("text") is None:
                    raise P2botError(f"{name} returned no text on {sample.task}")
                answers.append(one_line(reply["text"]))
            bar.update(len(batch))
    return answers


def _hear(agent: Agent, sample: Sample) -> Message:
    """Replay a dialogue to a fresh agent, up to the message to answer."""
    for message in sample.messages[:-1]:
        told = {"text": message.get("text") or "", "eval_labels": (label_of(message),)}
        agent.observe(Message({**told, "episode_done": False}))
        if hasattr(agent, "self_observe"):  # as ParlAI's worlds do
            agent.self_observe(Message({"text": label_of(message), "episode_done": False}))
    last = {"text": sample.messages[-1].get("text") or "", "episode_done": True}
    candidates = sample.messages[-1].get("label_candidates")
    if candidates and not isinstance(agent, TorchGeneratorAgent):  # a ranker chooses one
        last["label_candidates"] = list(candidates)
    return agent.observe(Message(last))


# ---------------------------------------------------------------------------- files
def from_file(path: str, samples: Sequence[Sample]) -> list[str]:
    """
    Answers made elsewhere, matched by what was said before them.

    A line is ``{"persona": ["..."], "context": [["partner", "..."], ...], "response": "..."}``,
    oldest utterance first, where "speaker" answers; or a dialogue of ``parlai eval_model
    --world-logs``.

    :raises P2botError: for any other line, or a sample without an answer.
    """
    found: dict[tuple, str] = {}
    with PathManager.open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                found.update(_answers_of(parse_json(line)))
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                raise P2botError(
                    f'{path}, line {number}: expected "persona", "context" and "response", or a '
                    '"dialog" of eval_model --world-logs'
                ) from error
    answers = [found.get(_place(sample.dialogue())) for sample in samples]
    missing = answers.count(None)
    if missing:
        first = samples[answers.index(None)].dialogue().turns
        after = f'"{first[-1][1]}"' if first else "the persona"
        raise P2botError(
            f"{path} answers {len(samples) - missing} of the {len(samples)} contexts; the first "
            f"missing one ends with {after}"
        )
    return answers


def _place(dialogue: Dialogue) -> tuple:
    """
    Identifies a context: the persona and what the partner said.

    World logs need not hold the human's answers.
    """
    heard = tuple(one_line(text) for own, text in dialogue.turns if not own)
    return frozenset(map(one_line, dialogue.persona)), heard, _answered(dialogue)


def _answered(dialogue: Dialogue) -> int:
    return sum(own for own, _ in dialogue.turns)


def _answers_of(line: dict) -> Iterator[tuple[tuple, str]]:
    if "dialog" in line:
        seen = Dialogue()
        for told, reply in line["dialog"]:
            seen.hear(told.get("text") or "")
            yield _place(seen), one_line(reply["text"])
            seen.say("")
        return
    turns = [(who == "speaker", text) for who, text in line["context"]]
    yield _place(Dialogue(list(line["persona"]), [], turns)), one_line(line["response"])
