"""
Which episodes each of several processes reads: what is read in order, each of them reads a share.

ParlAI does so in evaluation, by `DialogTeacher` alone: of its own format every process would
evaluate all, and count each example as often. Of ``train:ordered`` and ``train:stream`` every
process would learn the same examples. And a task of ours that is made of another's dialogues
needs all of them: it shares out its own examples.
"""

from parlai.core import teachers
from parlai.core.opt import Opt
from parlai.utils.data import DatatypeHelper
from parlai.utils.distributed import get_rank, num_workers

from p2bot_parlai.parlai_support.ours import READER, agent_of, is_ours
from p2bot_parlai.parlai_support.patching import Patch


def install() -> None:
    """In ParlAI's teachers, for agents of ours."""
    for data in (teachers.DialogData, teachers.StreamDialogData):
        Patch(data, "__init__", in_shares).apply()
    Patch(teachers.ParlAIDialogTeacher, "_setup_data", with_own_episodes).apply()


def is_shared_out(datatype: str) -> bool:
    """Training draws at random instead, by default."""
    return not DatatypeHelper.is_training(datatype) or "ordered" in datatype or "stream" in datatype


def own_share(opt: Opt) -> slice:
    """Of a list of episodes, those of this process; all where a task of ours is made of them."""
    shared_out = is_shared_out(opt["datatype"]) and READER not in opt
    return slice(get_rank(), None, num_workers()) if shared_out else slice(None)


def in_shares(stock):
    def __init__(self, opt, data_loader=None, cands=None, shared=None, **kwargs):
        whole = READER in opt
        ours = num_workers() > 1 and not shared and (whole or is_ours(agent_of(opt)))
        if ours and whole:  # of random training ParlAI shares nothing out
            opt = {**opt, "datatype": "train"}
        stock(self, opt, data_loader, cands, shared, **kwargs)
        if not ours or self.is_distributed_and_is_eval:  # ParlAI has done it
            return
        if isinstance(self, teachers.StreamDialogData):  # of which nothing is read yet
            self.is_distributed_and_is_eval = True
        elif type(self) is teachers.DialogData:
            self.data = self.data[own_share(opt)]

    return __init__


def with_own_episodes(stock):
    def _setup_data(self, path):
        stock(self, path)
        if num_workers() > 1 and is_ours(agent_of(self.opt)):
            self.episodes = self.episodes[own_share(self.opt)]
            self.num_exs = sum(map(len, self.episodes))

    return _setup_data
