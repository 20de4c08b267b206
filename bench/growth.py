"""
Tokens a second against batch, context, candidates, turns and group, of ours and the reference.

    python bench/growth.py --size sketch [--precision bf16] [--plots docs/] [--json growth.json]

Each point is the median of ``--pairs`` alternating runs. ``--plots`` draws one picture of each.
"""

import argparse
import json
import statistics
from pathlib import Path

import torch
from measure import Panel, by_turns, draw
from setting import SIZES, Size
from work import Works

# what grows: (work, its values, how a size has one)
GROWS = {
    "batch": ("beam", (1, 2, 4, 8, 16), lambda size, n: size.having(batch=n)),
    "context": ("ranking", (50, 100, 200, 400), lambda size, n: size.having(context=n)),
    "candidates": ("ranking", (1, 5, 10, 20, 40), lambda size, n: size.having(candidates=n)),
    "turns": ("self-play", (1, 2, 3, 4, 5), lambda size, n: size.having(turns=n)),
    "group": ("self-play", (1, 2, 4, 8), lambda size, n: size.having(dialogues=n, group=n)),
}
AXES = {
    "batch": "contexts that are decoded together (beam 2)",
    "context": "tokens of context (ranking)",
    "candidates": "candidates of a context (ranking)",
    "turns": "turns of a dialogue (self-play with its gradient)",
    "group": "dialogues of one opening (self-play with its gradient)",
}


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--size", choices=SIZES, default="sketch")
    parser.add_argument("--grow", nargs="+", choices=GROWS, default=list(GROWS))
    parser.add_argument("--points", type=int, help="only the first so many values of each")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of ours")
    parser.add_argument(
        "--naive-rows", type=int, help="contexts and dialogues of the reference (bench/speed.py)"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--plots", help="folder for one picture of each, e.g. docs/")
    parser.add_argument("--json", help="file for the results")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    results = {}
    for what in args.grow:
        results[what] = grow(what, SIZES[args.size], args)
        if args.plots:
            path = Path(args.plots) / f"growth_{what}.svg"
            lines = {
                label: [point[side] for point in results[what]]
                for side, label in (("naive", "reference"), ("ours", "p2bot_parlai"))
            }
            x = [point["value"] for point in results[what]]
            title = f"{args.size}, {args.precision}, {args.threads} threads"
            draw([Panel(x, lines, AXES[what], "tokens a second", title, "o")], path)
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def grow(what: str, size: Size, args) -> list[dict]:
    """Tokens a second of either side (`Work.tokens`, median of the pairs), a value each."""
    work, values, having = GROWS[what]
    print(f"{AXES[what]}: tokens a second of the reference, of ours, ratio")
    found = []
    for value in values[: args.points]:
        made = Works(having(size, value), args.precision, args.naive_rows).get(work)
        spent = by_turns(made.run, args.pairs)
        point = {side: made.tokens / statistics.median(times) for side, times in spent.items()}
        point["naive"] *= made.naive_share
        found.append({"value": value, **point})
        print(f"  {value:4} {point['naive']:9.1f} {point['ours']:9.1f}", end=" ")
        print(f"{point['ours'] / point['naive']:6.1f}", flush=True)
    return found


if __name__ == "__main__":
    main()
