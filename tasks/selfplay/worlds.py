"""Self-play as a world of ParlAI: one dialogue at a time, one exchange a parley."""

from collections.abc import Callable

from parlai.core.agents import Agent
from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.worlds import MultiAgentDialogWorld

from p2bot_parlai.agents.p2bot import P2botAgent
from p2bot_parlai.method.rollouts import Opening, Rollouts
from p2bot_parlai.method.speakers import Speakers
from p2bot_parlai.tasks.selfplay.agents import SelfplayTeacher


class Speaker(Agent):
    """
    One of the two, as an agent of ParlAI.

    :param turn: speaks in the dialogue of the world, see `SelfPlay.user_turn`.
    """

    def __init__(self, opt: Opt, name: str, turn: Callable[[Rollouts, Speakers], list[str]]):
        super().__init__(opt)
        self.id, self._turn = name, turn

    def begin(self, rollouts: Rollouts, side: Speakers) -> None:
        self._rollouts, self._side = rollouts, side

    def observe(self, observation: Message) -> Message:
        self._side.hear([observation["text"]])
        return super().observe(observation)

    def act(self) -> Message:
        (text,) = self._turn(self._rollouts, self._side)
        return Message({"id": self.id, "text": text, "episode_done": False})


class SelfPlayWorld(MultiAgentDialogWorld):
    """
    The frozen user and the learner talk, for scripts of your own and for ParlAI's world logs.

    Training plays a whole batch at once (`p2bot_parlai.method.selfplay.SelfPlay`); a dialogue goes
    the same way in both. The last message of the agent has its ``rewards``, by name: a value
    for each of its turns.

    :param agents: a `P2botAgent`, alone: it knows its user.
    """

    def __init__(self, opt: Opt, agents: list[P2botAgent], shared=None):
        (learner,) = agents
        self.game = learner.selfplay.world
        self.teacher = SelfplayTeacher({**opt, "datatype": "valid"})
        user = Speaker(opt, "user", self.game.user_turn)
        super().__init__(opt, [user, Speaker(opt, "agent", self.game.agent_turn)], shared)
        self.number = -1  # of the dialogue
        self.rollouts = Rollouts([])

    def parley(self) -> None:
        """One exchange: the user speaks, then the agent."""
        if self.episode_done():
            self._begin()
        super().parley()
        if self.episode_done():
            for act in self.acts:
                act.force_set("episode_done", True)
            self.scored = self.game.score(self.rollouts)
            self.acts[1]["rewards"] = {n: raw[0].tolist() for n, raw in self.scored.raw.items()}

    def _begin(self) -> None:
        self.number += 1
        opening = Opening(**self.teacher.get(self.number)["opening"])
        self.rollouts = Rollouts([opening])
        for agent, side in zip(self.agents, self.game.speakers([opening]), strict=True):
            agent.begin(self.rollouts, side)

    def episode_done(self) -> bool:
        return len(self.rollouts.agent_texts) in (0, self.game.turns)

    def epoch_done(self) -> bool:
        return self.episode_done() and self.number + 1 == self.teacher.num_episodes()

    def num_episodes(self) -> int:
        return self.teacher.num_episodes()
