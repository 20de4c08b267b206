"""
What `make demo` runs: the P²Bot that ships talks with the supervised one, then the whole method
is trained in miniature, with a report.

The exit status is 1 only if the model did not learn: if it finds the true next utterance among 20
no more often than by chance.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from transformers.utils import logging as transformers_logging

from p2bot_parlai import plugin
from p2bot_parlai.metrics.significance import Comparison, compare, interval, pair_up
from p2bot_parlai.scripts.relevance_map import RelevanceMap
from p2bot_parlai.scripts.reproduce import Reproduce, make_plan
from p2bot_parlai.scripts.selfplay_transcript import SelfplayTranscript
from p2bot_parlai.tools.reproduce.tables import read_dumps

SHIPPED = "zoo:p2bot/smollm2"
CHANCE = 1 / 20  # one of 20 candidates
SUPERVISED, PLAYED = "P²Bot-S", "+ RS.3"


def chat(folder: Path) -> None:
    """Two dialogues of the models that ship, with rewards, and a relevance map of each speaker."""
    transcripts = SelfplayTranscript.main(
        model_file=f"{SHIPPED}/model",
        receiver=f"{SHIPPED}/receiver",
        task="p2bot:selfplay:p2bot:sketch",
        num_dialogues=2,
        outfile=str(folder / "chat"),
        loglevel="warn",
    )
    print((folder / "chat.txt").read_text(encoding="utf-8"))
    for number, transcript in enumerate(transcripts, start=1):
        for who in ("user", "agent"):
            persona = [f"your persona: {line}" for line in transcript[f"{who}_persona"]]
            said = [" ".join(turn[who].split()) for turn in transcript["turns"]]
            dialogue = folder / f"chat{number}.{who}.txt"
            dialogue.write_text("\n".join(persona + said) + "\n", encoding="utf-8")
            RelevanceMap.main(
                model_file=f"{SHIPPED}/receiver",
                dialogue=str(dialogue),
                outfile=str(dialogue.with_suffix(".png")),
                loglevel="warn",
            )


def train(folder: Path, minutes: float, datapath: str | None) -> tuple[float, list[Comparison]]:
    """
    The three stages and their evaluation.

    :return: the lower bound of P²Bot-S's hits@1, a share, and what self-play changed.
    """
    data = {"preset": "demo_convai2", "datapath": datapath} if datapath else {"preset": "demo"}
    options = {**data, "minutes": minutes, "outfile_folder": str(folder / "trained")}
    Reproduce.main(**options)
    plan = make_plan(Reproduce.setup_args().parse_kwargs(**options))
    found = read_dumps("3", plan.measured["3"], plan.preset.source)
    before, after = (list(chain(*found[row, "revised"])) for row in (SUPERVISED, PLAYED))
    low, _ = interval(before, "hits@1") or (0.0, 0.0)
    return low, compare(pair_up(before, after), ("hits@1", "f1", "ppl"), seed=0)


def effect(comparisons: Sequence[Comparison]) -> str:
    """What self-play changed, in words."""
    lines = ["What self-play changed, with 95% intervals (revised personas, the same examples):"]
    for one in comparisons:
        verdict = "significant" if one.p < 0.05 else "may be chance"
        lines.append(
            f"  {one.metric}: {one.first:.4g} -> {one.second:.4g}, {one.difference:+.3g} "
            f"[{one.low:+.3g}, {one.high:+.3g}], p = {one.p:.2f}: {verdict}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.strip().split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=8, help="of the training and its figures")
    parser.add_argument("--datapath", help="folder with ConvAI2; default: the sketch corpus")
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    given = parser.parse_args()
    plugin.register()
    transformers_logging.disable_progress_bar()
    given.folder.mkdir(parents=True, exist_ok=True)
    print(
        "1. Two dialogues of the P²Bot that ships with a supervised user, about a minute.\n"
        f"2. The method in miniature: a Transmitter, a Receiver and self-play are trained and "
        f"evaluated in about {given.minutes:g} minutes (MINUTES=...). Small models that learn for "
        "minutes babble.\n"
        f"Everything is written to {given.folder}/; repeat the command to resume.\n"
    )
    begin = time.monotonic()
    chat(given.folder)
    print(f"\nThat took {time.monotonic() - begin:.0f} seconds.\n")
    low, comparisons = train(given.folder, given.minutes, given.datapath)
    print(f"\n{effect(comparisons)}")
    if low <= CHANCE:
        print("P²Bot-S did not learn: its hits@1 may be chance. Give it more MINUTES.")
    return int(low <= CHANCE)


if __name__ == "__main__":
    sys.exit(main())
