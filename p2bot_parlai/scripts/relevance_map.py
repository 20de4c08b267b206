"""
``parlai relevance_map``: Figure 6 of the paper for any dialogue.

The dialogue comes from a file (``--dialogue``) or a task (``-t``), by its index.
"""

import re

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script
from parlai.utils.data import DatatypeHelper
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.context import OWN_PERSONA, PARTNER_PERSONA
from p2bot_parlai.parlai_support.dialogues import SpokenDialogue, read_dialogues
from p2bot_parlai.parlai_support.files import check_place, read_text
from p2bot_parlai.tools.figures import check_drawing, draw_relevance_map


def parse_dialogues(text: str, name: str) -> list[SpokenDialogue]:
    """
    Dialogues in ConvAI2's format, or as plain persona lines, then utterances.

    Line numbers are optional; a line numbered 1 begins a new dialogue.

    :raises P2botError: for a dialogue without utterances or without a persona.
    """
    dialogues = [SpokenDialogue([], [])]
    for line in text.split("\n"):
        number, line = re.fullmatch(r"(\d+ )?(.*)", line.strip(), re.DOTALL).groups()
        begun = dialogues[-1].persona or dialogues[-1].utterances
        if begun and number and number.strip().lstrip("0") == "1":
            dialogues.append(SpokenDialogue([], []))
        if line.startswith(OWN_PERSONA):
            dialogues[-1].persona.append(line.removeprefix(OWN_PERSONA).strip())
        elif line and not line.startswith(PARTNER_PERSONA):
            fields = line.split("\t")
            dialogues[-1].utterances.append(fields[1 if len(fields) > 1 else 0].strip())
    for number, dialogue in enumerate(dialogues):
        parts = {"profile sentence": dialogue.persona, "utterance": dialogue.utterances}
        for what, found in parts.items():
            if not any(found):
                raise P2botError(
                    f'dialogue {number} of {name} has no {what}: "{OWN_PERSONA} ..." lines come '
                    "first, then what that person said"
                )
    return dialogues


def choose_dialogue(opt: Opt) -> SpokenDialogue:
    """The dialogue selected by ``--dialogue`` or ``--task``, and ``--index``."""
    if opt.get("dialogue"):
        if not PathManager.exists(opt["dialogue"]):
            raise P2botError(f"--dialogue {opt['dialogue']}: there is no such file")
        text = read_text(opt["dialogue"], f"--dialogue {opt['dialogue']}")
        dialogues = parse_dialogues(text, opt["dialogue"])
        where = opt["dialogue"]
    else:
        where = opt.get("override", {}).get("task")
        if not where:
            raise UsageError(
                "choose a dialogue with --dialogue FILE or -t TASK, such as -t convai2:self_revised"
            )
        dialogues = read_dialogues(opt, where, DatatypeHelper.fold(opt["datatype"]))
    if not 0 <= opt["index"] < len(dialogues):
        raise UsageError(
            f"--index {opt['index']}: {where} has {len(dialogues)} dialogues, numbered from 0"
        )
    return dialogues[opt["index"]]


@register_script("relevance_map")
class RelevanceMap(ParlaiScript):
    """Figure 6 of the paper: the relevance of each profile sentence to each utterance."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(True, True, "Draw which profile sentence each utterance reveals")
        group = parser.add_argument_group("Relevance map")
        group.add_argument(
            "--dialogue",
            help='File with "your persona: ..." lines and, below, what that person said, one '
            "utterance a line; in lines with a tab (ConvAI2's format) it follows the tab",
        )
        group.add_argument(
            "--index",
            type=int,
            default=0,
            help="Index of the dialogue in the file or task, from 0",
        )
        group.add_argument(
            "--outfile",
            "--out",
            default="relevance.png",
            help="Image to write: .png, .svg or .pdf",
        )
        group.add_argument(
            "--raw-text",
            type="bool",
            default=False,
            help="Score texts as they are; default: in the spelling of the training data",
        )
        parser.set_defaults(datatype="valid")
        return parser

    def run(self):
        if not self.opt.get("model_file"):
            raise UsageError("name a Receiver with -mf MODEL, trained with -m p2bot/receiver")
        path = self.opt["outfile"]
        check_drawing(path)
        check_place(path, "--outfile")
        dialogue = choose_dialogue(self.opt)
        # imported here: every ``parlai`` command imports this file, and transformers takes seconds
        from p2bot_parlai.method.model_files import load_perceiver

        perceiver = load_perceiver(self.opt["model_file"])
        texts = dialogue.utterances, dialogue.persona
        read = texts if self.opt["raw_text"] else perceiver.typed(*texts)
        relevance = perceiver.relevance(*read).numpy()
        draw_relevance_map(relevance, *texts, path)
        print(f"wrote {path}")
        return relevance
