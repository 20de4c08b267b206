"""
What self-play of SmolLM2 holds in memory: a copy for each model, against adapters of one.

    python bench/selfplay_bytes.py --datapath <folder with ConvAI2> [--updates 1]

Each is the stock training loop on ``p2bot:selfplay`` in a process of its own. Counted are the
weights, gradients and optimizer states of agent, user and style model, each storage once; the
peak is resident memory beyond what the imports take. There is no Receiver, which takes the same in
both.
"""

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from measure import resident
from parlai.core.agents import create_agent
from parlai.scripts.train_model import setup_args
from parlai.utils import logging
from torch import Tensor

from p2bot_parlai import plugin
from p2bot_parlai.method.backbones.precision import PRECISIONS
from p2bot_parlai.method.memory import trim_memory
from p2bot_parlai.parlai_support.training_loop import P2botTrainLoop

SIDES = {
    "copies": {"adapter": "none"},
    "adapters": {"adapter": "lora"},
    "adapters, int8": {"adapter": "lora", "base_dtype": "int8"},
    "adapters, int4": {"adapter": "lora", "base_dtype": "int4"},
}


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Of their storages, each once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def measure(side: str, args: argparse.Namespace) -> dict:
    if side != "copies":
        import p2bot_parlai.method.backbones.adapted  # noqa: F401, PEFT is no part of the peak
    before = resident()
    common = {
        **SIDES[side],
        "model": "p2bot",
        "datapath": args.datapath,
        "precision": args.precision,
        "text_truncate": 128,
        "label_truncate": 16,
        "loglevel": "error",
    }
    with TemporaryDirectory() as folder:
        opt = {**common, "backbone": "smollm2", "model_file": f"{folder}/supervised"}
        create_agent(setup_args().parse_kwargs(**opt, datatype="valid")).save()
        gc.collect()
        trim_memory()
        changes = {
            "task": "p2bot:selfplay:convai2:self_original:no_cands",
            "evaltask": "convai2:self_original:no_cands",
            "init_model": f"{folder}/supervised",
            "model_file": f"{folder}/model",
            "lambda_persona": 0.0,
            "batchsize": 1,
            "selfplay_dialogues": args.updates + 1,
            "max_train_steps": args.updates + 1,  # not to its end, which saves the model
            "validation_every_n_epochs": -1,
            "validation_every_n_secs": -1,
            "log_every_n_steps": 1,
            "seed": 1,
        }
        loop = P2botTrainLoop(setup_args().parse_kwargs(**common, **changes))
        logging.set_log_level(logging.ERROR)
        for _ in loop.train_steps():  # a log each
            if loop._train_steps >= args.updates:
                break
        agent = loop.agent
        world = agent.selfplay.world
        style = next(reward for reward in world.rewards if reward.name == "style")
        roles = (agent.network, world.user, style.backbone)
        weights = [
            weight
            for role in roles
            for weights in (role.parameters(), role.buffers())
            for weight in weights
        ]
        states = [s for held in agent.optimizer.state.values() for s in held.values()]
        counted = {
            "weights": bytes_of(weights),
            "gradients": bytes_of(w.grad for w in weights if w.grad is not None),
            "optimizer": bytes_of(s for s in states if torch.is_tensor(s)),
        }
        return {"updates": loop._train_steps, **counted, "peak": resident() - before}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--datapath", required=True, help="of ConvAI2")
    parser.add_argument("--updates", type=int, default=1)
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    plugin.register()
    if args.side:
        print(json.dumps(measure(args.side, args)))
        return
    first = None
    for side in SIDES:
        command = [sys.executable, Path(__file__), *(arguments or sys.argv[1:]), "--side", side]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        total = sum(found[part] for part in ("weights", "gradients", "optimizer")) / 2**20
        first = first or total
        parts = ", ".join(f"{part} {found[part] / 2**20:,.0f}" for part in list(found)[1:4])
        print(
            f"{side}: {parts}, together {total:,.0f} MB, {total / first:.1%}; peak "
            f"{found['peak']:,.0f} MB beyond imports; {found['updates']} updates",
            flush=True,
        )


if __name__ == "__main__":
    main()
