"""
One process of a data-parallel run; see test_distributed.py.

usage: distributed_worker.py RANK PROCESSES PORT FOLDER DATAPATH OUT [TRANSMITTER RECEIVER]
       [NAME=VALUE ...]

With a Transmitter and a Receiver it is a self-play run; NAME=VALUE are options.
"""

import sys

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


def learn(opt, rank: int, processes: int):
    agent = tiny.agent(**opt)
    agent.others.texts = []  # what is drawn from them depends on the process
    before = agent.network.backbone.tokens_embed.weight.detach().clone()
    for step in range(STEPS):
        numbers = [step * BATCH + row for row in range(BATCH)][rank::processes]
        told = [Message({**dialogue(number), "episode_done": True}) for number in numbers]
        agent.batch_act([agent.clone().observe(message) for message in told])
    assert (agent.network.backbone.tokens_embed.weight - before).abs().max() > 1e-3
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


def main():
    rank, processes, port = map(int, sys.argv[1:4])
    folder, datapath, out = sys.argv[4:7]
    plugin.register()
    torch.set_num_threads(1)
    opt = {"datapath": datapath, "model_file": f"{folder}/none"}
    opt |= {"dict_file": f"{folder}/model.dict"}
    models = [word for word in sys.argv[7:] if "=" not in word]
    given = dict(word.split("=") for word in sys.argv[7:] if "=" in word)
    work = learn
    opt |= given
    if models:
        work = play
        opt |= {"task": "p2bot:selfplay", "evaltask": "convai2", "user_inference": "multinomial"}
        opt |= {"init_model": models[0], "receiver": models[1], "kl_coef": 0.1}
        # not Adam, whose first steps are as long where a gradient is next to nothing
        opt |= {"optimizer": "sgd", "learningrate": 0.5}
    else:  # in self-play the model decides, which plays and learns without dropout
        opt["dropout"] = 0.0
    torch.manual_seed(42)
    if processes == 1:
        weights = work(opt, 0, 1)
    else:
        group = {"distributed_world_size": processes, "verbose": False}
        address = f"tcp://127.0.0.1:{port}"
        with distributed.distributed_context(rank, group, init_method=address):
            torch.manual_seed(42)
            weights = work(opt, rank, processes)
    torch.save(weights, f"{out}.{rank}")


if __name__ == "__main__":
    main()
