"""
What ``parlai eval_model --world-logs FILE`` wrote, as examples with their metrics.

ParlAI's file (``--save-format conversations``, the default) holds a dialogue a line, a pair
of messages a turn: the teacher's with text, labels and candidates, and the agent's with text,
ranked candidates, their scores, finished hypotheses and metrics.
"""

import hashlib
import json
import math
from collections import Counter

from parlai.core.metrics import InterDistinctMetric

from p2bot_parlai.errors import P2botError
from p2bot_parlai.metrics.significance import DISTINCT, PERPLEXITIES, Example
from p2bot_parlai.parlai_support.files import parse_json

# the report weighs these by the tokens or words of the label, all others by the example
BY_TOKENS = ("loss", "ppl", "token_acc")
BY_WORDS = ("ppl_word",)
# the report counts n-grams of all responses: no mean of these
POOLED = (*DISTINCT, "distinct_2")
# what reading a line of another form ends in
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError)


def read_world_logs(path: str) -> list[Example]:
    """:raises P2botError: for a file that is not there, or of another form, by its line."""
    examples: list[Example] = []
    seen: Counter = Counter()
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    try:
                        examples += _dialogue(parse_json(line)["dialog"], seen)
                    except DAMAGE as error:
                        raise P2botError(
                            f"{path}, line {number}: not of the form that parlai eval_model "
                            f"--world-logs writes ({type(error).__name__}: {error})"
                        ) from error
    except OSError as error:
        raise P2botError(f"cannot read {path}: {error.strerror or error}") from error
    if not examples:
        raise P2botError(f"{path} holds no examples")
    return examples


def _dialogue(pairs: list, seen: Counter) -> list[Example]:
    """:param seen: how often each name came up: the same dialogue may be there twice."""
    found, said, dialogue = [], [], ""
    for asked, reply in pairs:
        labels = asked.get("eval_labels") or asked.get("labels") or []
        task = str(asked.get("id"))
        said += [asked.get("text"), labels]
        name = hashlib.sha256(json.dumps([task, said]).encode()).hexdigest()
        seen[name] += 1
        name = f"{name} {seen[name]}"
        dialogue = dialogue or name
        metrics = {
            metric: (float(value * weight), float(weight))
            for metric, value, weight in _weighted(reply)
            if weight > 0
        }
        text = reply.get("text")
        ngrams = {}
        if text is not None:
            ngrams = {n: InterDistinctMetric.compute(text, n)._counts for n in DISTINCT.values()}
        found.append(Example(name, dialogue, task, metrics, ngrams))
    return found


def _weighted(reply: dict):
    """(metric, value, weight) of an agent's message; what cannot be weighed is left out."""
    metrics = reply.get("metrics") or {}
    tokens = reply.get("label_tokens")
    if tokens is None and "llen" in metrics:  # an agent of ParlAI's own
        tokens = metrics["llen"] - metrics.get("ltrunclen", 0)
    weights = dict.fromkeys(BY_TOKENS, tokens) | dict.fromkeys(BY_WORDS, reply.get("label_words"))
    for name, value in metrics.items():
        weight = weights.get(name, 1)
        if weight is None or name in POOLED or not isinstance(value, int | float):
            continue
        if name in PERPLEXITIES:
            overflows = value == math.inf and "loss" in metrics
            value = metrics["loss"] * tokens / weight if overflows else math.log(value)
        yield name, value, weight
