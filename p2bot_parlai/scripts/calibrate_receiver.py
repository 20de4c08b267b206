"""
``parlai calibrate_receiver``: measure how probable relevance (Eq. 11) makes it that a profile
sentence is revealed.

``train_model`` measures this whenever it validates. The command is for Receivers that were saved
without it, and for those of ``parlai blend_receiver``.
"""

from collections.abc import Sequence

from parlai.core.agents import create_agent
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script
from parlai.core.worlds import create_task

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.parlai_support.files import whole


@register_script("calibrate_receiver")
class CalibrateReceiver(ParlaiScript):
    """Measure a Receiver's calibration, and write it into the model file."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        description = "Measure a Receiver's calibration, and write it into the model file"
        parser = ParlaiParser(True, True, description)
        parser.set_defaults(task="p2bot:persona_perception", datatype="valid", batchsize=16)
        return parser

    def run(self) -> Sequence[float]:
        # torch takes seconds to import, and every ``parlai`` command imports this file
        import torch

        from p2bot_parlai.agents.receiver import ReceiverAgent

        path = self.opt.get("model_file")
        if not path:
            raise UsageError("name a Receiver with -mf MODEL, trained with -m p2bot/receiver")
        agent = create_agent(self.opt, requireModelExists=True)
        if not isinstance(agent, ReceiverAgent):
            raise P2botError(f"{path} was not trained with -m p2bot/receiver")
        agent.perceiver.calibration = ()  # of an earlier measurement
        world = create_task(self.opt, agent)
        while not world.epoch_done():
            world.parley()
        found = agent.perceiver.calibrated()
        if not found:
            raise P2botError(
                f"-t {self.opt['task']} has nothing to measure on: choose another task"
            )
        states = agent.read_saved(path).states
        states["p2bot"]["calibration"] = found
        with whole(path) as temporary:
            torch.save(states, temporary)
        print(f"wrote {path}: sigmoid({found[0]:.3f} U {found[1]:+.3f})")
        return found
