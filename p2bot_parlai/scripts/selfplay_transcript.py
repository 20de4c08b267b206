"""
``parlai selfplay_transcript``: self-play dialogues to read, with every reward.

Plays as in evaluation: the model talks with the frozen user it was trained with, or, where
it was never trained by self-play, with itself.
"""

import json

from parlai.core.agents import create_agent
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script
from parlai.core.worlds import create_task
from tqdm import tqdm

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.rollouts import Opening
from p2bot_parlai.method.transcript import as_text
from p2bot_parlai.parlai_support.files import check_place
from p2bot_parlai.tools.report import write_text


@register_script("selfplay_transcript")
class SelfplayTranscript(ParlaiScript):
    """Self-play dialogues with both personas and all rewards of each turn."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(True, True, "Write self-play dialogues with their rewards")
        group = parser.add_argument_group("Transcript")
        group.add_argument(
            "--outfile",
            "--out",
            default="selfplay",
            help="Writes <outfile>.txt, to read, and <outfile>.jsonl, one dialogue per line",
        )
        group.add_argument(
            "--num-dialogues", type=int, default=20, help="Number of dialogues to play"
        )
        parser.set_defaults(task="p2bot:selfplay", datatype="valid", batchsize=20)
        return parser

    def run(self) -> list[dict]:
        # transformers takes seconds to import, and every ``parlai`` command imports this file
        from p2bot_parlai.agents.p2bot import P2botAgent

        opt = self.opt
        if not opt.get("model_file"):
            raise UsageError("name a model with -mf MODEL, trained with -m p2bot")
        if opt["num_dialogues"] < 1:
            raise UsageError(f"--num-dialogues {opt['num_dialogues']}: must be at least 1")
        check_place(f"{opt['outfile']}.jsonl", "--outfile")
        agent = create_agent(opt, requireModelExists=True)
        if not isinstance(agent, P2botAgent):
            raise P2botError(f"{opt['model_file']} was not trained with -m p2bot: it cannot play")
        opt["selfplay_dialogues"] = max(opt["selfplay_dialogues"], opt["num_dialogues"])
        teacher = create_task({**opt, "batchsize": 1}, agent.clone()).get_task_agent()
        openings = [Opening(**teacher.get(i)["opening"]) for i in range(opt["num_dialogues"])]
        transcripts = []
        with tqdm(total=len(openings), unit="dialogue", disable=None) as bar:
            for start in range(0, len(openings), opt["batchsize"]):
                batch = openings[start : start + opt["batchsize"]]
                scored = agent.play(batch)
                transcripts += [scored.transcript(i) for i in range(len(batch))]
                bar.update(len(batch))
        lines = (json.dumps(t, ensure_ascii=False) for t in transcripts)
        write_text(f"{opt['outfile']}.jsonl", "".join(f"{line}\n" for line in lines))
        write_text(f"{opt['outfile']}.txt", "\n\n".join(map(as_text, transcripts)) + "\n")
        print(f"wrote {opt['outfile']}.txt and {opt['outfile']}.jsonl")
        return transcripts
