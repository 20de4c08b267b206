"""``parlai human_eval_report``: Table 2 of the paper from the ratings of a study."""

import os

from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.parlai_support.files import check_place
from p2bot_parlai.tools.human_eval import results
from p2bot_parlai.tools.human_eval import study as files
from p2bot_parlai.tools.human_eval.ratings import latest, read_ratings
from p2bot_parlai.tools.human_eval.statistics import Results, evaluate
from p2bot_parlai.tools.report import write_json


@register_script("human_eval_report")
class HumanEvalReport(ParlaiScript):
    """Human evaluation (Table 2), step 3: the table, agreement, significance (--study)."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(
            True, False, "Report a human evaluation with agreement and significance"
        )
        group = parser.add_argument_group("Human evaluation")
        group.add_argument("--study", help="Study that human_eval_prepare wrote")
        group.add_argument("--key", help="Its key; default: <study>.key.json beside it")
        group.add_argument(
            "--ratings",
            nargs="+",
            metavar="FILE",
            help="Files to read ratings from; default: <study>.ratings.jsonl",
        )
        group.add_argument("--outfile", "--out", help="Also write <outfile>.md and <outfile>.json")
        return parser

    def run(self) -> Results:
        path, out = self.opt["study"], self.opt["outfile"]
        if not path:
            raise UsageError("name the study to report: --study STUDY.json")
        if out:
            check_place(f"{out}.md", "--outfile")
        study = files.read_study(path)
        key = files.read_key(self.opt["key"] or files.key_path(path), study)
        ratings = self.opt["ratings"] or [files.ratings_path(path)]
        if not self.opt["ratings"] and not os.path.exists(ratings[0]):
            raise P2botError(f"there are no ratings yet: run parlai human_eval_rate --study {path}")
        given = [rating for file in ratings for rating in read_ratings(file, study)]
        found = evaluate(study, key, latest(given))
        print(results.as_text(found))
        if out:
            results.as_report(found).write(f"{out}.md")
            write_json(f"{out}.json", results.as_json(found))
            print(f"\nwrote {out}.md and {out}.json")
        return found
