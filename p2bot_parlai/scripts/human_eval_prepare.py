"""``parlai human_eval_prepare``: draw contexts, ask the systems, write a study and its key."""

from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai.errors import UsageError
from p2bot_parlai.parlai_support.files import check_place
from p2bot_parlai.tools.human_eval import study as files
from p2bot_parlai.tools.human_eval.answers import collect, parse_systems
from p2bot_parlai.tools.human_eval.options import add_sampling_options
from p2bot_parlai.tools.human_eval.sampling import draw_samples


@register_script("human_eval_prepare")
class HumanEvalPrepare(ParlaiScript):
    """Human evaluation (Table 2), step 1: draw contexts (-t), ask the systems, write a study."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(True, False, "Prepare a human evaluation of several systems")
        group = parser.add_argument_group("Human evaluation")
        add_sampling_options(group, number=200)
        group.add_argument(
            "--outfile",
            "--out",
            help="Study to write, STUDY.json; its key is written beside it",
        )
        parser.set_defaults(datatype="valid", batchsize=16)
        return parser

    def run(self) -> files.Study:
        opt, path = self.opt, self.opt["outfile"]
        if not path:
            raise UsageError("name the study to write: --outfile STUDY.json")
        systems = parse_systems(opt["systems"])
        check_place(path, "--outfile")
        samples = draw_samples(opt, opt["number"], opt["seed"])
        answers = collect(systems, samples, opt, opt["human"], opt["seed"])
        sources = {name: systems.get(name, "label of the task") for name in answers}
        study, key = files.make_study(samples, answers, sources, opt["seed"])
        drawn = {name: opt[name] for name in ("task", "datatype", "number", "seed")}
        files.write_study(path, study, key, drawn)
        print(f"wrote {path}: {len(study.ids)} responses to {len(study.items)} contexts")
        print(f"wrote {files.key_path(path)}: which system gave which; hide it from raters")
        print(f"next: parlai human_eval_rate --study {path}")
        return study
