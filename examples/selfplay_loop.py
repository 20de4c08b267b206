"""
Self-play (paper, section 3.2) in one file: two Transmitters talk, a Receiver helps to score
them, and one of them learns. Everything comes from `p2bot_parlai.method`; ParlAI is not
imported. `parlai train_model -m p2bot -t p2bot:selfplay` does the same with options, metrics,
checkpoints and several processes.

usage: python examples/selfplay_loop.py [--model FILE] [--receiver FILE] [--steps 10]
"""

import argparse
import random
from importlib.resources import files

import torch

from p2bot_parlai.method.advantages import ESTIMATORS
from p2bot_parlai.method.model_files import (
    dict_file,
    load_perceiver,
    load_transmitter,
    read_tokenizer,
)
from p2bot_parlai.method.reward_models import (
    DiscourseCoherence,
    LanguageStyle,
    PersonaPerception,
    SupervisedReading,
)
from p2bot_parlai.method.rollouts import Opening
from p2bot_parlai.method.selfplay import SelfPlay, policy_gradient_loss
from p2bot_parlai.method.transcript import as_text
from p2bot_parlai.method.transmitter import log_likelihood, scatter_to_mask, token_log_likelihood

SHIPPED = files("p2bot_parlai.zoo.sketch")
WEIGHTS = {"style": 0.4, "coherence": 0.1, "persona": 0.5}  # lambda of Eq. 10
TURNS, LONGEST, LIMIT = 3, 32, 256  # turns of the agent; tokens of a response, of a context
PERSONAS = [
    ["i have two dogs.", "i work as a nurse.", "my favorite food is pizza."],
    ["i live in rome.", "i play the piano.", "i am afraid of spiders."],
    ["i am a teacher.", "i have a cat.", "i like to climb."],
    ["i have three brothers.", "i drive a red car.", "i love to cook."],
]
GREETINGS = ["hi , how are you ?", "hello ! what do you do for a living ?", "do you have a pet ?"]


def draw_openings(count: int, rng: random.Random) -> list[Opening]:
    """How dialogues begin: two personas, the user's first utterance, a seed."""
    return [
        Opening(*rng.sample(PERSONAS, 2), rng.choice(GREETINGS), rng.getrandbits(40))
        for _ in range(count)
    ]


def learn(model: str, receiver: str, steps: int, batch: int, lr: float, seed: int) -> list[float]:
    """:return: the mean reward of each step."""
    rng = random.Random(seed)
    # 1. The frozen user A and the learning agent B start as the same supervised Transmitter.
    tokenizer = read_tokenizer(dict_file(model))
    user = load_transmitter(model, tokenizer)
    agent = load_transmitter(model, tokenizer).requires_grad_(True)
    optimizer = torch.optim.Adam(agent.parameters(), lr=lr)

    # 2. The rewards: Eq. 6 (style), Eq. 7 (coherence), Eq. 8-9 (persona).
    reading = SupervisedReading(user, tokenizer)
    rewards = [
        LanguageStyle(user.backbone, [tokenizer.self_], tokenizer),
        DiscourseCoherence(reading),
        PersonaPerception(load_perceiver(receiver), gamma=0.5),
    ]
    game = SelfPlay(reading, agent, tokenizer, None, rewards, WEIGHTS, TURNS, LONGEST, LIMIT)

    history = []
    for step in range(1, steps + 1):
        # 3. Play a batch of dialogues; the agent samples a_n from p(a | s_n).
        rollouts = game.play(draw_openings(batch, rng))

        # 4. Reward every response: R = sum of lambda_i R_i (Eq. 10).
        scored = game.score(rollouts)
        total = scored.total  # (B, N)

        # 5. The advantages of Eq. 5: each reward less the baseline, the mean of the batch.
        advantages = ESTIMATORS["mean"](total, torch.arange(batch)).flatten()  # (M,)

        # 6. log p(a | s) of the sampled responses, with gradients (Eq. 1), in one pass.
        packed, _, _ = reading(rollouts)
        logits, _ = agent(packed)
        mask = packed.target_mask  # (M, R)
        token_scores = token_log_likelihood(logits, packed.targets[mask])
        log_p = log_likelihood(scatter_to_mask(token_scores, mask), mask)  # (M,)

        # 7. A policy-gradient step (Eq. 5): minimise -(R - b) log p(a | s).
        loss = policy_gradient_loss(log_p, advantages).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(agent.parameters(), 1.0)
        optimizer.step()

        history.append(total.mean().item())
        parts = ", ".join(f"{name} {raw.mean():.3f}" for name, raw in scored.raw.items())
        print(f"step {step}: reward {history[-1]:.3f} ({parts})")
    print("\n" + as_text(scored.transcript(0)))
    return history


def main() -> None:
    parser = argparse.ArgumentParser(description="Self-play without ParlAI")
    parser.add_argument("--model", default=str(SHIPPED / "model.safetensors"))
    parser.add_argument("--receiver", default=str(SHIPPED / "receiver.safetensors"))
    parser.add_argument("--steps", type=int, default=10, help="policy-gradient steps, at least 1")
    parser.add_argument("--batch", type=int, default=16, help="dialogues per step")
    parser.add_argument("--lr", type=float, default=1e-4, help="learning rate of Adam")
    parser.add_argument("--seed", type=int, default=0)
    learn(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
