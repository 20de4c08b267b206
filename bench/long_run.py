"""
Does a long run stay as it began: memory, speed, open files?

    python bench/long_run.py selfplay --count 20000 [--plot docs/long_selfplay.svg]
    python bench/long_run.py chat --count 50000 [--plot docs/long_chat.svg]
    python bench/long_run.py training --count 300 --precision bf16 --datapath <folder>
    python bench/long_run.py adapters --count 300 --precision bf16 --datapath <folder>
    python bench/long_run.py receiver --count 300 --precision bf16 --datapath <folder>
    python bench/long_run.py evaluation --count 300 --precision bf16 --datapath <folder>

``selfplay`` trains the shipped sketch model by self-play for so many dialogues, at a learning
rate so low that its responses stay the same; ``chat`` makes so many responses in one conversation
after the other, every tenth of which has ``--longest`` turns. The others are the stock commands
on ConvAI2 with the packaged SmolLM2 or MiniLM, and count batches of ``--batchsize`` dialogues
(training of all weights, of adapters) or examples (receiver, evaluation): every batch has other
shapes. Samples are taken all along; the first fifth is warm-up and left out. Speed is tokens of
answers (examples, where there are none) a second of this process's processor time, which other
programs disturb less than seconds.
"""

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import Panel, draw
from parlai.core.agents import create_agent
from parlai.core.worlds import create_task
from parlai.scripts.eval_model import setup_args as evaluation_args
from parlai.scripts.train_model import setup_args
from parlai.utils import logging

from p2bot_parlai import P2Bot, plugin
from p2bot_parlai.method.backbones.precision import PRECISIONS
from p2bot_parlai.parlai_support.training_loop import P2botTrainLoop

MODEL, RECEIVER = "zoo:p2bot/sketch/model", "zoo:p2bot/sketch/receiver"
SAMPLES, WARM_UP = 50, 0.2
BATCH = 40  # dialogues played together
PERSONA = ["i own a dog.", "i live in Oslo.", "i work as a baker."]
SAID = ("hi !", "where do you live ?", "do you own a pet ?", "i work as a judge . and you ?")


@dataclass
class Sample:
    """
    :param done: dialogues, turns or batches. :param tokens: of answers; examples where there are
        none. :param seconds: of processor time. :param memory: resident now, MB.
    :param peak: the most since the last sample, MB. :param files: open ones.
    """

    done: int
    tokens: int
    seconds: float
    memory: float
    peak: float
    files: int


def sample(done: int, tokens: int) -> Sample:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    read = dict(line.split(":", 1) for line in status.splitlines())
    memory, peak = (int(read[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins again
    files = len(os.listdir("/proc/self/fd"))
    return Sample(done, tokens, time.process_time(), memory, peak, files)


def selfplay(args: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """(dialogues, tokens) so far, now and then."""
    with TemporaryDirectory() as folder:
        opt = setup_args().parse_kwargs(
            o="p2bot/sketch_selfplay",
            init_model=MODEL,
            receiver=RECEIVER,
            task="p2bot:selfplay:p2bot:sketch:self_original",
            evaltask="p2bot:sketch:self_original",
            datapath=folder,
            model_file=f"{folder}/model",
            batchsize=BATCH,
            learningrate=1e-9,
            selfplay_dialogues=args.count,
            sketch_dialogues=2000,
            num_epochs=1,
            max_train_steps=-1,
            validation_every_n_secs=-1,
            validation_every_n_epochs=-1,
            validation_max_exs=BATCH,
            short_final_eval=True,
            skip_generation=True,
            show_dialogue_every=0,
            log_every_n_steps=max(1, args.count // SAMPLES // BATCH),
            seed=1,
            loglevel="error",
        )
        loop = P2botTrainLoop(opt)
        logging.set_log_level(logging.ERROR)
        done, tokens, stock = 0, 0, loop.agent.play

        def play(openings):
            nonlocal done, tokens
            scored = stock(openings)
            done += len(openings)
            tokens += sum(len(turn.response) for turn in scored.rollouts.by_dialogue())
            return scored

        loop.agent.play = play
        for _ in loop.train_steps():  # a report each
            yield done, tokens


def chat(args: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """(turns, tokens) so far, after every answer."""
    bot = P2Bot.load(MODEL, inference="greedy", beam_size=1)
    turns = tokens = 0
    for number in itertools.count():
        conversation = bot.conversation(PERSONA, seed=number)
        for turn in range(args.longest if number % 10 == 9 else 8):
            answer = conversation.reply(f"{SAID[turn % len(SAID)]} {number % 7}")
            turns, tokens = turns + 1, tokens + len(bot.speaker.agent.dict.txt2vec(answer)) + 1
            yield turns, tokens
            if turns == args.count:
                return


TRANSMITTER = {"model": "p2bot", "backbone": "smollm2", "task": "convai2:self_original"}
PERCEPTION = "p2bot:persona_perception:self_original"
REAL = {
    "training": TRANSMITTER,
    "adapters": {**TRANSMITTER, "adapter": "lora"},
    "receiver": {"model": "p2bot/receiver", "encoder": "minilm", "task": PERCEPTION},
    "evaluation": TRANSMITTER,
}


def training(args: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """(updates, examples) so far, at every log of the stock loop."""
    with TemporaryDirectory() as folder:
        opt = setup_args().parse_kwargs(
            **REAL[args.what],
            datapath=args.datapath,
            model_file=f"{folder}/model",
            batchsize=args.batchsize,
            precision=args.precision,
            max_train_steps=args.count,
            validation_every_n_epochs=-1,
            validation_every_n_secs=-1,
            log_every_n_steps=max(1, args.count // SAMPLES),
            loglevel="error",
        )
        loop = P2botTrainLoop(opt)
        logging.set_log_level(logging.ERROR)
        for _ in loop.train_steps():
            done = loop._train_steps
            yield done, done * args.batchsize


def evaluation(args: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """(batches, examples) so far, after every batch."""
    opt = evaluation_args().parse_kwargs(
        **REAL["evaluation"],
        datatype="valid",
        datapath=args.datapath,
        batchsize=args.batchsize,
        precision=args.precision,
        loglevel="error",
    )
    agent = create_agent(opt)
    world = create_task(opt, agent)
    for done in itertools.count(1):
        world.parley()
        yield done, done * args.batchsize


def watch(progress: Iterator[tuple[int, int]], count: int, every: int) -> list[Sample]:
    found, due = [], 0
    for done, tokens in progress:
        if done >= due:
            found.append(sample(done, tokens))
            due = done + every
            print(json.dumps(asdict(found[-1])), flush=True)
        if done >= count:
            break
    return found


def growth(samples: list[Sample]) -> dict:
    """
    What changed between the first and the last quarter of what comes after the warm-up: memory,
    its peaks and speed as shares (medians), files as a number.
    """
    kept = [s for s in samples if s.done >= WARM_UP * samples[-1].done]
    quarter = max(2, len(kept) // 4)
    first, last = kept[:quarter], kept[-quarter:]
    memory = [statistics.median(s.memory for s in part) for part in (first, last)]
    peak = [statistics.median(s.peak for s in part) for part in (first, last)]
    speed = [speeds([part[0], part[-1]])[0] for part in (first, last)]
    return {
        "memory": memory[1] / memory[0] - 1,
        "speed": speed[1] / speed[0] - 1,
        "files": last[-1].files - first[0].files,
        "peak": peak[1] / peak[0] - 1,
        "MB": memory,
        "peak MB": peak,
        "tokens a second": speed,
    }


def speeds(samples: list[Sample]) -> list[float]:
    """Tokens a second of processor time, between one sample and the next."""
    pairs = itertools.pairwise(samples)
    return [(b.tokens - a.tokens) / (b.seconds - a.seconds) for a, b in pairs]


RUNS = {
    "selfplay": (selfplay, "dialogues"),
    "chat": (chat, "turns"),
    "training": (training, "updates"),
    "adapters": (training, "updates"),
    "receiver": (training, "updates"),
    "evaluation": (evaluation, "batches"),
}


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=RUNS)
    parser.add_argument("--count", type=int, required=True, help="dialogues, turns or batches")
    parser.add_argument("--longest", type=int, default=60, help="turns of every tenth chat")
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16", help="on ConvAI2")
    parser.add_argument("--batchsize", type=int, default=8, help="on ConvAI2")
    parser.add_argument("--datapath", help="of ConvAI2")
    parser.add_argument("--plot", type=Path, help="picture to draw, .svg")
    args = parser.parse_args(arguments)
    plugin.register()
    run, unit = RUNS[args.what]
    every = max(1, args.count // SAMPLES)
    samples = watch(run(args), args.count, every)
    if args.plot:
        done = [s.done for s in samples]
        panels = [
            Panel(done, {"": [s.memory for s in samples]}, unit, "memory, MB"),
            Panel(done[1:], {"": speeds(samples)}, unit, "tokens a second of CPU"),
            Panel(done, {"": [s.files for s in samples]}, unit, "open files"),
        ]
        draw(panels, args.plot, 3, 2.6)
    found = growth(samples)
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
