"""``-t p2bot:sketch``: generated persona dialogues."""

import copy
from collections.abc import Iterator

from parlai.core.opt import Opt
from parlai.core.teachers import FbDeprecatedDialogTeacher
from parlai.utils.data import DatatypeHelper

from p2bot_parlai.errors import UsageError
from p2bot_parlai.tasks.sketch import corpus
from p2bot_parlai.tasks.sketch.files import data_file

NO_CANDS = "no_cands"
DEFAULT_SEED = 1
# variants of p2bot:sketch, as of convai2
VARIANTS = {
    "self_original": "self_original",
    "self_revised": "self_revised",
    "both": "both_original",
    "both_revised": "both_revised",
    "none": "none_original",
}


def read_variant(task: str) -> tuple[str, bool]:
    """
    ``p2bot:sketch[:<variant>][:no_cands]`` -> name of the files, and whether with candidates.

    :raises P2botError: for an unknown variant.
    """
    names = task.split(":")[2:]
    candidates = names[-1:] != [NO_CANDS]
    names = names if candidates else names[:-1]
    variant = ":".join(names) or "self_original"
    if variant not in VARIANTS:
        raise UsageError(
            f"{task}: there is no p2bot:sketch:{variant}; choose from {', '.join(VARIANTS)}, "
            f"each with :{NO_CANDS} behind it or without"
        )
    return VARIANTS[variant], candidates


class SketchTeacher(FbDeprecatedDialogTeacher):
    """
    Dialogues in ConvAI2's form, generated from a grammar: ``p2bot:sketch`` (original
    personas), ``:self_revised``, ``:both``, ``:both_revised``, ``:none``, each also with
    ``:no_cands``.

    All variants have the same dialogues in the same order. With a persona, ``reveals`` is the
    "your persona:" line that the label reveals, counted from 0, or None.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        group = parser.add_argument_group("Sketch corpus")
        group.add_argument(
            "--sketch-seed",
            type=int,
            default=DEFAULT_SEED,
            help="Decides the dialogues; keep it to compare models",
        )
        group.add_argument(
            "--sketch-dialogues",
            type=int,
            default=corpus.DIALOGUES,
            help="Dialogues to train on; a ninth as many are made for validation",
        )
        return parser

    def __init__(self, opt: Opt, shared=None):
        opt = copy.deepcopy(opt)
        variant, candidates = read_variant(opt["task"])
        # a command that names this task by an option of its own does not parse ours
        opt.setdefault("sketch_seed", DEFAULT_SEED)
        opt.setdefault("sketch_dialogues", corpus.DIALOGUES)
        if opt["sketch_dialogues"] < 1:
            raise UsageError(f"--sketch-dialogues {opt['sketch_dialogues']} is not positive")
        self.revealed: list[list[int | None]] = []
        if not shared:
            # like convai2, there is no test fold: valid is what models are compared on
            fold = "train" if DatatypeHelper.fold(opt["datatype"]) == "train" else "valid"
            seed, dialogues = opt["sketch_seed"], opt["sketch_dialogues"]
            datapath = opt["datapath"]
            opt["datafile"] = data_file(datapath, fold, variant, candidates, seed, dialogues)
            if not variant.startswith("none"):
                self.revealed = corpus.revealed(fold, seed, dialogues)
        super().__init__(opt, shared)
        self.id = opt["task"].removeprefix("p2bot:")  # two variants in one run differ

    def setup_data(self, path: str) -> Iterator[tuple[dict, bool]]:
        """The examples of the file, with what each label reveals if a persona is shown."""
        truth = iter(self.revealed)
        for (text, labels, *rest), starts in super().setup_data(path):
            example = {"text": text, "labels": labels}
            if len(rest) > 1:
                example["label_candidates"] = rest[1]
            if self.revealed:
                if starts:
                    replies = iter(next(truth))
                example["reveals"] = next(replies)
            yield example, starts
