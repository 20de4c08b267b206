"""Ctrl-C while a model is saved: the save is finished, and the run ends."""

import os
import signal

import pytest
import tiny
from parlai.scripts.train_model import setup_args

from p2bot_parlai.agents.p2bot import P2botAgent
from p2bot_parlai.method.model_files import read_model_file
from p2bot_parlai.parlai_support.training_loop import P2botTrainLoop


def test_a_save_is_finished_once_and_nothing_is_trained_after_it(
    convai2, tiny_model, tmp_path, monkeypatch
):
    given = {"init_model": tiny_model, "validation_every_n_steps": 1, "skip_generation": True}
    options = tiny.options(convai2, tmp_path / "model", **given)
    loop = P2botTrainLoop(setup_args().parse_kwargs(**options))
    saves, save = [], P2botAgent.save

    def interrupted(self, path=None):
        saves.append(loop.parleys)
        os.kill(os.getpid(), signal.SIGINT)
        save(self, path)

    monkeypatch.setattr(P2botAgent, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.train()
    assert len(saves) == 1 and loop.parleys == saves[0]
    read_model_file(str(tmp_path / "model"))
