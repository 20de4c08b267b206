"""
``parlai sample_answers``: Table 4 of the paper, for any systems.

The human and each system answer the same contexts, sampled with ``--seed``.
"""

from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai.parlai_support.files import check_place
from p2bot_parlai.tools.human_eval import side_by_side
from p2bot_parlai.tools.human_eval.answers import collect, parse_systems
from p2bot_parlai.tools.human_eval.options import add_sampling_options
from p2bot_parlai.tools.human_eval.sampling import draw_samples


@register_script("sample_answers")
class SampleAnswers(ParlaiScript):
    """Table 4 of the paper: sampled contexts with the answers of every system."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(True, False, "Write the answers of several systems side by side")
        group = parser.add_argument_group("Sampled answers")
        add_sampling_options(group, number=3)
        group.add_argument(
            "--outfile",
            "--out",
            default="answers",
            help="Writes <outfile>.md, <outfile>.html and <outfile>.jsonl",
        )
        parser.set_defaults(datatype="valid", batchsize=16)
        return parser

    def run(self) -> list[dict]:
        opt = self.opt
        systems = parse_systems(opt.get("systems"))
        check_place(f"{opt['outfile']}.md", "--outfile")
        samples = draw_samples(opt, opt["number"], opt["seed"])
        answers = collect(systems, samples, opt, opt["human"], opt["seed"])
        found = side_by_side.records(samples, answers)
        out = opt["outfile"]
        side_by_side.write(found, command(opt, systems), out)
        print(f"wrote {out}.md, {out}.html and {out}.jsonl")
        return found


def command(opt: dict, systems: dict[str, str]) -> str:
    """The command that reproduces the files."""
    named = "".join(f" {name}={path}" for name, path in systems.items())
    return (
        f"parlai sample_answers -t {opt['task']} -dt {opt['datatype']} --number {opt['number']} "
        f"--seed {opt['seed']} --human {str(opt['human']).lower()}"
        + (f" --systems{named}" if named else "")
    )
