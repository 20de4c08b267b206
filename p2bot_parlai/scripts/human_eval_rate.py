"""``parlai human_eval_rate``: collect ratings of a study, on a local page or by a CSV file."""

import os

from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai.errors import UsageError
from p2bot_parlai.tools.human_eval import study as files
from p2bot_parlai.tools.human_eval.ratings import RatingLog, check_rater
from p2bot_parlai.tools.human_eval.scale import SCALE
from p2bot_parlai.tools.human_eval.sheet import take_sheet, write_sheet
from p2bot_parlai.tools.web import need_extra


@register_script("human_eval_rate")
class HumanEvalRate(ParlaiScript):
    """Human evaluation (Table 2), step 2: rate the responses of a study (--study)."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(True, False, "Collect ratings on a local page, or by a CSV file")
        group = parser.add_argument_group("Human evaluation")
        group.add_argument("--study", help="Study that human_eval_prepare wrote")
        group.add_argument(
            "--ratings",
            nargs="+",
            metavar="FILE",
            help="File to append ratings to; default: <study>.ratings.jsonl",
        )
        group.add_argument(
            "--host",
            default="127.0.0.1",
            help="Address of the page; unless it is loopback, anyone who reaches the port can rate",
        )
        group.add_argument(
            "--port", type=int, default=8765, help="Port of the page; 0: any free one"
        )
        group.add_argument(
            "--csv",
            help="Instead of the page: write this sheet or, if it exists, read its ratings",
        )
        group.add_argument("--rater", help="Name of whoever fills in --csv")
        return parser

    def run(self) -> None:
        opt = self.opt
        if not opt["study"]:
            raise UsageError("name the study to rate: --study STUDY.json")
        if bool(opt["csv"]) != bool(opt["rater"]):
            raise UsageError("--csv and --rater go together; on the page raters enter their names")
        paths = opt["ratings"] or [files.ratings_path(opt["study"])]
        if len(paths) > 1:
            raise UsageError("--ratings takes one file here: ratings are appended to it")
        study = files.read_study(opt["study"])
        if opt["csv"]:
            rate_by_sheet(opt["csv"], check_rater(opt["rater"]), paths[0], study)
        else:
            rate_on_page(opt["host"], opt["port"], paths[0], study)


def rate_on_page(host: str, port: int, path: str, study: files.Study) -> None:
    """Serve the page until Ctrl-C."""
    need_extra("starlette", "uvicorn")
    from p2bot_parlai.tools.human_eval.server import rating_app
    from p2bot_parlai.tools.web import server
    from p2bot_parlai.tools.web.guard import LOOPBACK

    with RatingLog(path, study) as log, server.bind(host, port) as listening:
        print(f"rate at {server.address(listening)}", flush=True)
        if host not in LOOPBACK:
            print("anyone who reaches this address can rate, under any name", flush=True)
        print(f"ratings are saved to {path} as they are given; Ctrl-C stops", flush=True)
        try:
            server.serve(rating_app(study, log, host), listening)
        finally:
            print(f"{len(log)} ratings in {path}")


def rate_by_sheet(sheet: str, rater: str, path: str, study: files.Study) -> None:
    """Write the sheet or, if it exists, take its ratings."""
    with RatingLog(path, study) as log:
        if not os.path.exists(sheet):
            write_sheet(sheet, study, log.of(rater))
            print(f"wrote {sheet} with {len(study.ids)} responses: fill in the column rating, then")
            print("repeat the command. Each grade includes the ones before it:")
            print("\n".join(f"  {grade.value}  {grade.name}: {grade.meaning}" for grade in SCALE))
            return
        rated, changed = take_sheet(sheet, rater, log)
        print(f"{sheet} rates {rated} of {len(study.ids)} responses; {changed} new or changed")
        print(f"ratings of {rater} saved to {path}")
