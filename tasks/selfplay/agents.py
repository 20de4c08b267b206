"""``-t p2bot:selfplay``: openings of dialogues, which `method.selfplay.SelfPlay` plays."""

import copy
import random
from dataclasses import asdict

from parlai.core.build_data import modelzoo_path
from parlai.core.loader import load_teacher_module
from parlai.core.message import Message
from parlai.core.metrics import SumMetric
from parlai.core.opt import Opt
from parlai.core.teachers import FixedDialogTeacher
from parlai.utils.data import DatatypeHelper
from parlai.utils.distributed import get_rank, is_distributed, num_workers

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.context import OWN_PERSONA
from p2bot_parlai.method.personas import draw_others, group_by_person
from p2bot_parlai.method.rollouts import Opening
from p2bot_parlai.parlai_support.dialogues import (
    DEFAULT_TASK,
    SpokenDialogue,
    own_tasks,
    read_dialogues,
    task_behind,
)
from p2bot_parlai.parlai_support.evaluated import wanted_dialogues

DEFAULT_DIALOGUES = 2000


def source_task(opt: Opt) -> str:
    """The task behind, by name or by ``--selfplay-task``; see `task_behind`."""
    return task_behind(opt, opt.get("selfplay_task"))


class SelfplayTeacher(FixedDialogTeacher):
    """
    One message a dialogue: all that the two speakers are given.

    - ``text``: the persona of the agent B and the first utterance of the user A, as an agent
      would hear it; ``opening``: the fields of an `Opening`; ``learn``: whether the agent is
      to learn from it. There are no labels.

    Dialogue number i is the same in every run with the same ``--seed``: the personas are of
    two different people, drawn at random; A's first utterance is a real one. Several processes
    share the same dialogues. In evaluation, ``--eval-dialogues`` is which dialogues of the task
    behind are drawn from. With ``--rollouts-per-opening`` K, K dialogues of the same process in
    a row have the same opening.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        partial_opt = partial_opt or Opt()
        path = partial_opt.get("model_file")
        own = own_tasks(path and modelzoo_path(partial_opt.get("datapath"), path))
        group = parser.add_argument_group("Self-play dialogues")
        group.add_argument(
            "--selfplay-task",
            type=str,
            default=(own or [DEFAULT_TASK])[0],
            help="ConvAI2-like task that personas and first utterances come from; own files: "
            "fromfile:fbformat with --fromfile-datapath FILE. -t p2bot:selfplay:self_revised is "
            "short for --selfplay-task convai2:self_revised. A saved model that was trained on "
            "another corpus plays on that by default",
        )
        group.add_argument(
            "--selfplay-dialogues",
            type=int,
            default=DEFAULT_DIALOGUES,
            help="Dialogues an epoch; further epochs have new ones",
        )
        for task in (partial_opt.get("task") or "").split(","):
            if "selfplay" in task:  # ours, among several
                chosen = partial_opt.get("selfplay_task") or (own or [None])[0]
                source = task_behind(Opt(task=task), chosen)
                load_teacher_module(source).add_cmdline_args(parser, partial_opt)
        return parser

    def __init__(self, opt: Opt, shared=None):
        opt = copy.deepcopy(opt)
        if opt["selfplay_dialogues"] < 1:
            raise UsageError(f"--selfplay-dialogues {opt['selfplay_dialogues']} is not positive")
        if shared:
            self.openings = shared["openings"]
        else:
            task = source_task(opt)
            dialogues = read_dialogues(opt, task, DatatypeHelper.fold(opt["datatype"]))
            if not DatatypeHelper.is_training(opt["datatype"]):
                dialogues = dialogues[slice(*wanted_dialogues(opt))]
            self.openings = Openings(dialogues, task, opt.get("seed") or 0)
        # both were of the task behind this one
        opt["mutators"] = opt["eval_dialogues"] = None
        super().__init__(opt, shared)
        self.id = opt["task"].removeprefix("p2bot:")  # two variants in one run differ
        self.random = False  # what is drawn depends on the number of the dialogue
        self._first, self._step = (get_rank(), num_workers()) if is_distributed() else (0, 1)
        # an option of the agent that learns, see `p2bot_parlai.agents.options.selfplay`
        self._rollouts = opt.get("rollouts_per_opening", 1) if self.training else 1
        self.reset()

    def share(self):
        return {**super().share(), "openings": self.openings}

    def num_episodes(self) -> int:
        """Of this process; in training of all, as ParlAI adds up the epochs of all processes."""
        if self.training:
            return self.opt["selfplay_dialogues"]
        return len(range(self._first, self.opt["selfplay_dialogues"], self._step))

    def num_examples(self) -> int:
        return self.num_episodes()

    def next_episode_idx(self, num_eps=None, loop=None) -> int:
        """Training has no end: the next epoch has new dialogues."""
        return super().next_episode_idx(num_eps, loop=False)

    def next_example(self):
        if not self.training:
            return super().next_example()
        self.episode_idx = self.next_episode_idx()
        return self.get(self.episode_idx), False

    def get(self, episode_idx: int, entry_idx: int = 0) -> Message:
        number, rollout = divmod(episode_idx, self._rollouts)
        opening = self.openings.draw(self._first + number * self._step, rollout)
        persona = [f"{OWN_PERSONA} {sentence}" for sentence in opening.agent_persona]
        return Message(
            {
                "text": "\n".join([*persona, opening.utterance]),
                "opening": asdict(opening),
                "learn": self.training,
                "episode_done": True,
            }
        )

    def observe(self, observation):
        """There are no labels to compare with: take the agent's own metrics."""
        # without metrics: after the end of an epoch, or before the last batch of an update
        if self.training or observation.get("metrics"):
            self.metrics.add("exs", SumMetric(1))
        self.metrics._consume_user_metrics(observation)
        return super().observe(observation)


class Openings:
    """
    Personas and first utterances of a fold, drawn by number.

    :param dialogues: the source of personas and first utterances. A speaker's first utterance
        goes with its own persona, so dialogues opened by the persona's owner are preferred;
        if there are none, a partner's first utterance goes with any persona.
    :param task: its name, for error messages.
    :param seed: of everything that is drawn.
    :raises P2botError: if there are not two different people.
    """

    def __init__(self, dialogues: list[SpokenDialogue], task: str, seed: int):
        self.dialogues, self.seed = dialogues, seed
        self.people = group_by_person([d.persona for d in dialogues])
        self.members: list[list[int]] = [[] for _ in set(self.people)]
        for index, person in enumerate(self.people):
            self.members[person].append(index)
        if len(self.members) < 2:
            raise P2botError(f"{task} has personas of one person; self-play needs two people")
        self.begun = [i for i, d in enumerate(dialogues) if d.heard_first is None]
        self.others = [d.heard_first for d in dialogues if d.heard_first is not None]

    def draw(self, number: int, rollout: int = 0) -> Opening:
        """
        Opening ``number``, counted from 0. :param rollout: which dialogue that begins with it;
            another one has another seed.
        """
        rng = random.Random(f"{self.seed} {number}")
        if self.begun:
            user = rng.choice(self.begun)
            utterance = self.dialogues[user].utterances[0]
        else:
            user = rng.choice(rng.choice(self.members))
            utterance = rng.choice(self.others)
        (agent,) = draw_others(self.people[user], self.members, 1, rng)
        return Opening(
            user_persona=self.dialogues[user].persona,
            agent_persona=self.dialogues[agent].persona,
            utterance=utterance,
            seed=[rng.getrandbits(40) for _ in range(rollout + 1)][-1],
        )
