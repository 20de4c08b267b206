"""
``parlai human_eval prepare|rate|report``: Table 2 of the paper.

Responses are judged one by one on the paper's four-point scale, by people who do not know
which system gave them.
"""

import difflib
import os
import sys

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.human_eval import study as files
from p2bot_parlai.tools.human_eval.answers import collect, parse_systems
from p2bot_parlai.tools.human_eval.options import ACTIONS, USED_BY, HelpOnAction, Several
from p2bot_parlai.tools.human_eval.options import add_sampling_options as add_sampling
from p2bot_parlai.tools.human_eval.ratings import RatingLog, check_rater, latest, read_ratings
from p2bot_parlai.tools.human_eval.sampling import draw_samples
from p2bot_parlai.tools.human_eval.server import LOCAL, RatingServer
from p2bot_parlai.tools.human_eval.sheet import scale_in_words, take_sheet, write_sheet


def setup_args() -> ParlaiParser:
    parser = ParlaiParser(True, False, "Human evaluation: prepare, rate, report")
    parser.add_argument("-h", "--help", action=HelpOnAction, nargs=0, help="Show help and exit")
    # neither required nor with choices: ParlAI parses every command's arguments where it is
    # not told which, and the command's own name where it is
    parser.add_argument("action", nargs="?", default=None, help=" | ".join(ACTIONS))
    group = parser.add_argument_group("Human evaluation")
    add_sampling(group, number=200)
    group.add_argument(
        "--outfile",
        "--out",
        type=str,
        default=None,
        help="prepare: study to write (STUDY.json; its key beside it). report: also write "
        "<outfile>.md and <outfile>.json",
    )
    group.add_argument("--study", type=str, default=None, help="Study that `prepare` wrote")
    group.add_argument(
        "--key",
        type=str,
        default=None,
        help="Who answered what; default: <study>.key.json beside the study",
    )
    group.add_argument(
        "--ratings",
        action=Several,
        nargs="+",
        metavar="FILE",
        default=None,
        help="rate: file that ratings go to. report: files that they are read from. Default: "
        "<study>.ratings.jsonl beside the study",
    )
    group.add_argument(
        "--host",
        type=str,
        default=LOCAL[0],
        help="Address of the page; with another than this machine's own, whoever reaches the "
        "port can rate",
    )
    group.add_argument("--port", type=int, default=8765, help="Port of the page; 0: a free one")
    group.add_argument(
        "--csv",
        type=str,
        default=None,
        help="Instead of the page: write this sheet to fill in or, where it is there already, "
        "read it back",
    )
    group.add_argument("--rater", type=str, default=None, help="Whose sheet --csv is")
    parser.set_defaults(datatype="valid", batchsize=16)
    return parser


@register_script("human_eval")
class HumanEval(ParlaiScript):
    """Table 2 of the paper: prepare a study, take ratings, report them."""

    @classmethod
    def setup_args(cls):
        return setup_args()

    def run(self):
        check_usage(self.opt)
        return {"prepare": prepare, "rate": rate, "report": report}[self.opt["action"]](self.opt)


def check_usage(opt: Opt) -> None:
    """Exit status 2 for an action that there is not, or an option of another action."""
    action = opt.get("action")
    if action is None:
        usage_error(f"say what to do: {', '.join(ACTIONS)}; see parlai human_eval --help")
    if action not in ACTIONS:
        meant = difflib.get_close_matches(action, ACTIONS, n=1)
        hint = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(ACTIONS)}"
        usage_error(f"there is no action {action}; {hint}")
    for name in opt["override"]:
        actions = USED_BY.get(name, (action,))
        if action not in actions:
            usage_error(f"--{name} is an option of {' and '.join(actions)}, not of {action}")
    needed = "outfile" if action == "prepare" else "study"
    if not opt.get(needed):
        usage_error(f"--{needed} is missing; see parlai human_eval {action} --help")


def usage_error(message: str) -> None:
    print(f"p2bot: error: {message}", file=sys.stderr)
    raise SystemExit(2)


# -------------------------------------------------------------------------- prepare
def prepare(opt: Opt) -> files.Study:
    """Draw, ask, hide, write."""
    systems = parse_systems(opt.get("systems"))
    samples = draw_samples(opt, opt["number"], opt["seed"])
    answers = collect(systems, samples, opt, opt["human"], opt["seed"])
    sources = {name: systems.get(name, "label of the task") for name in answers}
    study, key = files.make_study(samples, answers, sources, opt["seed"])
    drawn = {name: opt[name] for name in ("task", "datatype", "number", "seed")}
    path = opt["outfile"]
    files.write_study(path, study, key, drawn)
    count = sum(1 for _ in study.responses())
    print(f"wrote {path}: {count} responses to {len(study.items)} contexts")
    print(f"wrote {files.key_path(path)}: who answered what; raters must not see it")
    print(f"next: parlai human_eval rate --study {path}")
    return study


# ----------------------------------------------------------------------------- rate
def rate(opt: Opt) -> None:
    """The page, until Ctrl-C; or one sheet."""
    study = files.read_study(opt["study"])
    if len(opt.get("ratings") or ()) > 1:
        usage_error("rate writes to one file: give --ratings one name")
    (path,) = opt.get("ratings") or (files.ratings_path(opt["study"]),)
    if opt.get("rater") and not opt.get("csv"):
        usage_error("--rater goes with --csv; on the page raters give their names themselves")
    if opt.get("csv"):
        if not opt.get("rater"):
            usage_error("--csv needs --rater NAME: whose ratings are they?")
        rate_by_sheet(opt["csv"], check_rater(opt["rater"]), path, study)
        return
    with RatingLog(path, study) as log:
        server = RatingServer(study, log, opt["host"], opt["port"])
        print(f"rate at {server.url}", flush=True)
        if not server.local:
            print("whoever reaches this address can rate, under any name", flush=True)
        print(f"ratings are saved to {path} as they are given; Ctrl-C stops", flush=True)
        with server:
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print(f"\n{len(log)} ratings in {path}")


def rate_by_sheet(sheet: str, rater: str, path: str, study: files.Study) -> None:
    with RatingLog(path, study) as log:
        total = sum(1 for _ in study.responses())
        if not os.path.exists(sheet):
            write_sheet(sheet, study, log.of(rater))
            print(f"wrote {sheet} with {total} responses: fill in the column rating, then run")
            print("the same command again. The grades, each with what the one before asks for:")
            print(scale_in_words())
            return
        rated, changed = take_sheet(sheet, rater, log)
        print(f"{sheet} rates {rated} of {total} responses; {changed} new or changed ratings of")
        print(f"{rater} saved to {path}")


# --------------------------------------------------------------------------- report
def report(opt: Opt):
    """Table 2 of this study, on the terminal and, with --outfile, as Markdown and JSON."""
    # scipy.stats takes half a second to import, which no other command should
    from p2bot_parlai.tools.human_eval import results
    from p2bot_parlai.tools.human_eval.statistics import evaluate

    study = files.read_study(opt["study"])
    key = files.read_key(opt.get("key") or files.key_path(opt["study"]), study)
    paths = opt.get("ratings") or [files.ratings_path(opt["study"])]
    if not opt.get("ratings") and not os.path.exists(paths[0]):
        raise P2botError(f"there are no ratings yet: parlai human_eval rate --study {opt['study']}")
    given = [rating for path in paths for rating in read_ratings(path, study)]
    found = evaluate(study, key, latest(given))
    print(results.as_text(found))
    if opt.get("outfile"):
        files.write_text(f"{opt['outfile']}.md", results.as_markdown(found))
        files.write_json(f"{opt['outfile']}.json", results.as_json(found))
        print(f"\nwrote {opt['outfile']}.md and {opt['outfile']}.json")
    return found


if __name__ == "__main__":
    HumanEval.main()
