"""
How fast the Receiver is, against a loop over dialogues, in the same run.

    python bench/receiver.py --datapath <ParlAI data folder> [--encoder minilm]

The loop is what one writes first: it takes a dialogue, encodes its utterances and the
sentences of its candidate personas, scores them, and goes on to the next. Both compute the
same numbers; that is checked, and the ratio of the times is printed.
"""

import argparse
import copy
import random
import time

import torch
from parlai.core.opt import Opt

from p2bot_parlai.agents.perception import Question, lines
from p2bot_parlai.agents.receiver import training_candidates
from p2bot_parlai.method.backbones.encoder import encoder_path, load_encoder
from p2bot_parlai.method.perceiver import Perceiver
from p2bot_parlai.method.receiver import (
    Receiver,
    aggregate,
    cumulative_score,
    margin_loss,
    receiver_loss,
    relevance,
    sparsity,
)
from p2bot_parlai.method.tokenizers import SentenceTokenizer
from p2bot_parlai.tasks.persona_perception.agents import PersonaPerceptionTeacher

TAU, MARGIN, BETA, BATCH = 0.5, 0.4, 1e-4, 16


def questions(datapath: str, datatype: str, count: int) -> list[Question]:
    opt = Opt(
        task="p2bot:persona_perception",
        datapath=datapath,
        datatype=datatype,
        perception_task="convai2:self_original",
        distractors=31,
        hard_candidates=0,
        perception_seed=42,
        same_person_sentences=2,
    )
    teacher = PersonaPerceptionTeacher(opt)
    random.seed(0)
    return [Question.read(teacher.get(index)) for index in range(min(count, len(teacher.fold)))]


def one_persona(encoder: Receiver, tokenizer, H, persona: list[str]):
    W = encoder.persona([tokenizer.encode(sentence) for sentence in persona])
    U = relevance(H, W)
    every = torch.ones(1, dtype=torch.bool)
    return cumulative_score(aggregate(U, every, TAU), every.expand(len(H))), sparsity(U, every)


def loop_evaluation(network: Receiver, tokenizer, asked: list[Question]) -> torch.Tensor:
    rows = []
    with torch.no_grad():
        for question in asked:
            H = network.impression([tokenizer.encode(u) for u in question.utterances])
            personas = map(lines, question.candidates)
            rows.append(torch.stack([one_persona(network, tokenizer, H, p)[0] for p in personas]))
    return torch.stack(rows)


def fast_evaluation(network: Receiver, tokenizer, asked: list[Question]) -> torch.Tensor:
    perceiver, rows = Perceiver(network, tokenizer, TAU), []
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        candidates = [list(map(lines, question.candidates)) for question in batch]
        rows += perceiver.cumulative([question.utterances for question in batch], candidates)
    return torch.stack(rows)


def loop_training(network, tokenizer, asked: list[Question], optimizer, whole_batch) -> None:
    for start in range(0, len(asked), BATCH):
        optimizer.zero_grad()
        batch = asked[start : start + BATCH]
        candidates, allowed = training_candidates(batch, whole_batch)
        for question, personas, others in zip(batch, candidates, allowed, strict=True):
            H = network.impression([tokenizer.encode(u) for u in question.utterances])
            own, *rest = [
                one_persona(network, tokenizer, H, persona)
                for persona, kept in zip(personas, [True, *others[1:].tolist()], strict=True)
                if kept
            ]
            losses = [margin_loss(own[0], c, MARGIN) + BETA * norm for c, norm in rest]
            loss = torch.stack(losses).mean() + BETA * own[1]
            (loss / len(batch)).backward()
        optimizer.step()


def fast_training(network, tokenizer, asked: list[Question], optimizer, whole_batch) -> None:
    perceiver = Perceiver(network, tokenizer, TAU)
    for start in range(0, len(asked), BATCH):
        optimizer.zero_grad()
        batch = asked[start : start + BATCH]
        candidates, allowed = training_candidates(batch, whole_batch)
        dialogues = [question.utterances for question in batch]
        c, U, mask = perceiver.training_scores(network, dialogues, candidates)
        hinge, norm = receiver_loss(c, U, mask, allowed, MARGIN, BETA)
        (hinge + norm).mean().backward()
        optimizer.step()


def seconds(function, *arguments):
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


def compare(name: str, loop, ours, repeats: int, check) -> None:
    """Loop and ours by turns, the fastest of each: other programs disturb both alike."""
    slow, fast = [], []
    for _ in range(repeats):
        for times, function in ((slow, loop), (fast, ours)):
            taken, result = seconds(function)
            times.append((taken, result))
    check(min(slow, key=lambda t: t[0])[1], min(fast, key=lambda t: t[0])[1])
    a, b = min(t for t, _ in slow), min(t for t, _ in fast)
    print(f"{name:<58} loop {a:6.2f} s   ours {b:6.2f} s   ratio {a / b:5.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--datapath", required=True, help="ParlAI data folder with ConvAI2")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--dialogues", type=int, default=32, help="Of each fold")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    tokenizer = SentenceTokenizer.from_pretrained(encoder_path(options.encoder))
    tokenizer.limit(128)
    # without dropout, so that both compute the same
    network = Receiver(load_encoder(options.encoder), load_encoder(options.encoder)).eval()

    asked = questions(options.datapath, "valid", options.dialogues)
    compare(
        f"evaluation, {len(asked)} dialogues x 32 candidates",
        lambda: loop_evaluation(network, tokenizer, asked),
        lambda: fast_evaluation(network, tokenizer, asked),
        options.repeats,
        lambda a, b: torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3),
    )

    asked = questions(options.datapath, "train", options.dialogues)
    for negatives, low in (("one", False), ("one", True), ("batch", False)):

        def train(function, negatives=negatives, low=low):
            copied = copy.deepcopy(network)
            optimizer = torch.optim.SGD(copied.parameters(), lr=1e-3)
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                function(copied, tokenizer, asked, optimizer, negatives == "batch")
            return torch.cat([p.detach().ravel() for p in copied.impression.parameters()])

        close = 1e-3 if low else 1e-5
        compare(
            f"training, {len(asked)} dialogues, batches of {BATCH}, --negatives {negatives}"
            + (" --bfloat16" if low else ""),
            lambda train=train: train(loop_training),
            lambda train=train: train(fast_training),
            options.repeats if negatives == "one" else 1,
            lambda a, b, close=close: torch.testing.assert_close(a, b, atol=close, rtol=1e-2),
        )


if __name__ == "__main__":
    main()
