"""The worlds of agents of ours: for chats our own, elsewhere ParlAI's with `answered` examples."""

from parlai.core import worlds
from parlai.core.params import ParlaiParser

from p2bot_parlai.errors import UsageError
from p2bot_parlai.parlai_support.evaluated import add_options, restrict
from p2bot_parlai.parlai_support.mutators import add_answered
from p2bot_parlai.parlai_support.ours import agent_of, is_ours
from p2bot_parlai.parlai_support.patching import Patch
from p2bot_parlai.parlai_support.words import use_language_of

# ConvAI2, and what the commands use without --task; ParlAI finds the worlds of our own tasks
CHAT_TASKS = ("convai2", "interactive", "self_chat", "parlai.tasks.convai2.agents")


def install_worlds() -> None:
    """Where a world is chosen, and where its options are read."""
    Patch(worlds, "create_task_world", with_our_worlds).apply()
    Patch(ParlaiParser, "add_world_args", with_our_options).apply()


def with_our_worlds(stock):
    def create_task_world(opt, user_agents, default_world=None):
        if any(is_ours(type(agent)) for agent in user_agents):
            chat = (opt.get("interactive_task"), opt.get("selfchat_task"))
            if any(chat):
                _check_talkers(user_agents)
            if world := _world(opt["task"], *chat):
                return world(opt, user_agents)
            add_answered(opt)
            use_language_of(user_agents, opt)
        world = stock(opt, user_agents, default_world)
        restrict(world.get_agents()[0], opt)
        return world

    return create_task_world


def _check_talkers(agents) -> None:
    """:raises UsageError: for an agent of ours that answers no messages."""
    from p2bot_parlai.agents.encoder_agent import EncoderAgent  # transformers takes seconds
    from p2bot_parlai.agents.perception import PerceptionBaseline

    for agent in agents:
        if isinstance(agent, EncoderAgent | PerceptionBaseline):
            raise UsageError(
                f"{agent.opt.get('model_file') or type(agent).__name__} does not talk: chat with a "
                "model that was trained with -m p2bot; what a Receiver perceives is shown by "
                "parlai relevance_map -mf RECEIVER"
            )


def with_our_options(stock):
    def add_world_args(self, task, interactive_task, selfchat_task, partial):
        world = _world(task, interactive_task, selfchat_task)
        if world and is_ours(agent_of(partial)):
            world.add_cmdline_args(self, partial)
        else:
            stock(self, task, interactive_task, selfchat_task, partial)
            add_options(self)

    return add_world_args


def _world(task: str, interactive: bool | None, selfchat: bool | None) -> type | None:
    if task.strip().split(":")[0].lower() not in CHAT_TASKS or "," in task:
        return None
    from p2bot_parlai.tasks.chat import persona_worlds

    if interactive:
        return persona_worlds.InteractiveWorld
    return persona_worlds.SelfChatWorld if selfchat else None
