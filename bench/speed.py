"""
Our path against the original's algorithm, alternating in one run.

    make bench                             both sizes, fp32; minutes to hours
    python bench/speed.py --sizes sketch --pairs 5 --precision bf16 --json results.json

Training examples (packed dialogues), ranking 20 candidates, beam search, and self-play with its
gradient: first both sides must agree (1e-4, in fp32), then they are timed in pairs; a ratio is
the median of the pairs. Memory is that of a process of its own for each side.
"""

import argparse
import json
import statistics
import warnings
from pathlib import Path

import torch
import transformers
from generate import Generate
from measure import by_turns, flops, memory_of, peak, ratio
from setting import SIZES
from work import Work, Works


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["sketch", "gpt"])
    parser.add_argument("--works", nargs="+", choices=Works.NAMES, default=list(Works.NAMES))
    parser.add_argument("--pairs", type=int, default=5, help="of runs, after a warm-up")
    parser.add_argument(
        "--naive-rows",
        type=int,
        default=1,
        help="contexts decoded and dialogues played by the reference at GPT's and SmolLM2's size; "
        "it reads them one by one, and its time is scaled to all of ours",
    )
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of ours")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", help="file for the results")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning)
    print(f"{args.threads} threads, torch {torch.__version__}, transformers", end=" ")
    print(f"{transformers.__version__}; the reference in fp32, ours in {args.precision}")
    results = {"threads": args.threads, "precision": args.precision}
    for name in args.sizes:
        results[name] = of_size(name, args)
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def of_size(name: str, args) -> dict:
    size, pairs = SIZES[name], args.pairs
    rows = args.naive_rows if name in ("gpt", "smollm2") else None
    exact = Works(size, "fp32", rows)
    torch.set_float32_matmul_precision("highest")  # TF32 would not agree to 1e-4
    for work in args.works:
        exact.get(work).check()
    print(f"\n{name}: {size.n_layers} x {size.embedding_size}, vocabulary {size.vocabulary}")
    print("both sides agree to 1e-4; medians of", pairs, "pairs")
    works = exact if args.precision == "fp32" else Works(size, args.precision, rows)
    peaks = {"naive": peak("fp32"), "ours": peak(args.precision)}
    found = {}
    for work in args.works:
        made = works.get(work)
        sides = {"naive": works.naive.network, "ours": works.ours.network}
        found[work] = timed(made, pairs, peaks, sides)
        if args.memory:
            found[work]["memory"] = {
                side: memory_of(name, args.precision, work, side) for side in made.run
            }
        show(made, found[work])
    if "beam" in args.works:
        found["generate"] = against_generate(works, pairs)
    return found


def timed(work: Work, pairs: int, peaks: dict[str, float], networks: dict) -> dict:
    # warms up, too
    done = {side: flops(run, networks[side].backbone) for side, run in work.run.items()}
    spent = by_turns(work.run, pairs, warm_up=False)
    # as if the reference had done all of it
    spent["naive"] = [seconds / work.naive_share for seconds in spent["naive"]]
    done["naive"] = round(done["naive"] / work.naive_share)
    found = {"unit": work.unit, "ratio": ratio(spent["naive"], spent["ours"]), "seconds": spent}
    found["naive_share"] = work.naive_share
    for side in work.run:
        middle = statistics.median(spent[side])
        found[side] = {
            "units_per_second": work.count / middle,
            "tokens_per_second": work.tokens / middle,
            "flops": done[side],
            "flops_per_second": done[side] / middle,
            "peak_flops_per_second": peaks[side],
            "share_of_peak": done[side] / middle / peaks[side],
        }
    return found


def show(work: Work, found: dict) -> None:
    print(f"  {work.name}: {found['ratio']:.1f} times the reference")
    for side in work.run:
        of = found[side]
        line = f"    {side:<6} {of['units_per_second']:8.2f} {work.unit}/s"
        line += f" {of['tokens_per_second']:9.0f} tokens/s {of['flops'] / 1e9:9.1f} GFLOP"
        line += f" {of['flops_per_second'] / 1e9:6.1f} GFLOPS"
        line += f" ({100 * of['share_of_peak']:.0f}% of {of['peak_flops_per_second'] / 1e9:.0f})"
        if "memory" in found:
            memory = found["memory"][side]
            line += f" {memory['peak']:6.0f} MB (before: {memory['before']:.0f})"
        print(line, flush=True)


def against_generate(works: Works, pairs: int) -> dict:
    """Beam search of transformers, on the same contexts, with the same results."""
    contexts = [works.data.context() for _ in range(works.size.batch)]
    theirs = Generate(works.ours.network, works.ours.tokens)
    runs = {
        "generate": lambda: theirs.beam(contexts, works.size.decoded),
        "ours": lambda: works.ours.beam(contexts, works.size.decoded),
    }
    one, other = (run() for run in runs.values())
    # where nothing ended, ParlAI makes the last token [EOS]
    agree = sum(a[:-1] == b[:-1] for a, b in zip(one, other, strict=True))
    spent = by_turns(runs, pairs, warm_up=False)
    found = {"ratio": ratio(spent["generate"], spent["ours"]), "agree": agree, "seconds": spent}
    print(f"  beam: {found['ratio']:.1f} times transformers' generate", end=" ")
    print(f"({agree} of {len(contexts)} responses are the same)", flush=True)
    return found


if __name__ == "__main__":
    main()
