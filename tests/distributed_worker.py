"""
Learns alone and as two processes that share the data; see test_distributed.py.

usage: distributed_worker.py PORT FOLDER DATAPATH OUT [TRANSMITTER RECEIVER] [NAME=VALUE ...]

Writes the weights to OUT.alone, OUT.0 and OUT.1. With a Transmitter and a Receiver it is a
self-play run; NAME=VALUE are options, also of the model.
"""

import sys

import pairs
import people
import tiny
import torch
from parlai.core.message import Message
from parlai.utils import distributed

from p2bot_parlai import plugin

STEPS, BATCH = 3, 4


def examples(step: int) -> list[dict]:
    """The same data for every number of processes; lengths differ on purpose."""
    made = []
    for row in range(BATCH):
        k = step * BATCH + row
        made.append(
            {
                "text": "your persona: i own a cat.\n" + "what do you eat ? " * (1 + k % 3),
                "labels": ["i eat rice " + "and beans " * (k % 4)],
                # every third example has no distractor of its own
                "label_candidates": ["hello there", "i live in Oslo"] if k % 3 else ["only"],
                "episode_done": True,
            }
        )
    return made


def dialogue(number: int) -> dict:
    """Turns of several lengths; every third has no distractor of its own."""
    turns = []
    for turn, example in enumerate(examples(number)[: 2 + number % 3]):
        first = "your persona: i own a cat.\n" if turn == 0 else ""
        wrong = ["hello there"] if (turn + number) % 3 else []
        turns.append(
            {
                "text": first + example["text"].split("\n")[-1],
                "labels": example["labels"],
                "label_candidates": [*wrong, *example["labels"]],
            }
        )
    return {"text": turns[0]["text"], "labels": turns[0]["labels"], "dialogue": turns}


def question(number: int) -> dict:
    """For a Receiver: utterances, and who of two people said them."""
    things = [people.THINGS[n % len(people.THINGS)] for n in (number, number + 1)]
    personas = [f"i own {thing}.\ni like {thing}." for thing in things]
    said = [f"look at these {things[0]} !"] * (1 + number % 3)
    offered = {"label_candidates": personas, "candidate_people": [number, number + 1]}
    return {"text": "\n".join(said), "labels": personas[:1], **offered}


def pair(number: int) -> dict:
    """For the entailment classifier."""
    label = ("positive", "neutral", "negative")[number % 3]
    return {"text": f"look at these {people.THINGS[number]} !\ni own cats.", "labels": [label]}


OF_AGENT = {
    "p2bot": (tiny.agent, dialogue),
    "p2bot/receiver": (people.agent, question),
    "p2bot/persona_nli": (pairs.agent, pair),
}


def learn(opt, rank: int, processes: int):
    kind = opt.get("model", "p2bot")
    make, example = OF_AGENT[kind]
    agent = make(**opt)
    if kind == "p2bot":
        agent.others.texts = []  # what is drawn from them depends on the process
    learnt = [weight for weight in agent.network.parameters() if weight.requires_grad]
    before = [weight.detach().clone() for weight in learnt]
    for step in range(STEPS * int(opt.get("update_freq", 1))):
        numbers = [step * BATCH + row for row in range(BATCH)][rank::processes]
        told = [Message({**example(n), "episode_done": True}) for n in numbers]
        agent.batch_act([agent.clone().observe(message) for message in told])
    away = [(now - old).abs().max() for now, old in zip(learnt, before, strict=True)]
    assert max(away) > 1e-3
    return agent.network.state_dict()


def play(opt, rank: int, processes: int):
    """
    Each process takes every second dialogue, those of an opening; the last batch also has
    supervised rows.
    """
    agent = tiny.agent(**opt)
    agent.others.texts = []  # what is drawn from them depends on the process
    agent.begin_training()
    for step in range(STEPS):
        numbers = [step * BATCH + row for row in range(BATCH)][rank::processes]
        seen = [agent.clone().observe(Message(opening(number))) for number in numbers]
        if step == STEPS - 1 and rank == 0:  # the other process has none
            example = {"text": "hi", "labels": ["i eat rice"], "label_candidates": ["hello"]}
            seen.append(agent.clone().observe(Message({**example, "episode_done": True})))
        agent.batch_act(seen)
    return agent.network.state_dict()


def opening(number: int) -> dict:
    fields = {"user_persona": [f"i own {number % 2} cats."], "agent_persona": ["i live in Oslo."]}
    fields |= {"utterance": "hello " * (1 + number % 2), "seed": number}
    return {"text": fields["utterance"], "opening": fields, "learn": True, "episode_done": True}


def weights_of(process: int, port: str, folder: str, datapath: str, out: str, *more: str) -> None:
    """:param process: 0 is alone, 1 and 2 are together."""
    opt = {"datapath": datapath, "model_file": f"{folder}/none"}
    opt |= {"dict_file": f"{folder}/model.dict"}
    opt |= dict(word.split("=") for word in more if "=" in word)
    models = [word for word in more if "=" not in word]
    # not Adam, whose first steps are as long where a gradient is next to nothing
    opt |= {"optimizer": "sgd", "learningrate": 0.5}
    if models:  # there the model decides, which plays and learns without dropout
        opt |= {"task": "p2bot:selfplay", "evaltask": "convai2", "user_inference": "multinomial"}
        opt |= {"init_model": models[0], "receiver": models[1], "kl_coef": 0.1}
        opt |= dict.fromkeys(("backbone", *tiny.PRETRAINED))  # they come with the model
    else:
        opt["dropout"] = 0.0
        opt |= tiny.PRETRAINED if "adapter" in opt else {}
    work = play if models else learn
    torch.manual_seed(42)
    if process == 0:
        torch.save(work(opt, 0, 1), f"{out}.alone")
        return
    rank, group = process - 1, {"distributed_world_size": 2, "verbose": False}
    address = f"tcp://127.0.0.1:{port}"
    with distributed.distributed_context(rank, group, init_method=address):
        torch.manual_seed(42)
        torch.save(work(opt, rank, 2), f"{out}.{rank}")


if __name__ == "__main__":
    plugin.register()
    torch.set_num_threads(1)
    # forks: to import all this takes longer than to learn
    torch.multiprocessing.start_processes(weights_of, sys.argv[1:], nprocs=3, start_method="fork")
