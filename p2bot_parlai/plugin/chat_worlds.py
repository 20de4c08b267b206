"""Makes `interactive` and `self_chat` use our worlds."""

from parlai.core import loader

from p2bot_parlai.parlai_support.shims import _replace

# tasks whose chats are ours: ConvAI2's, ours, and what the commands use without --task
SKETCH = "p2bot:sketch"
CHAT_TASKS = (
    "convai2",
    "interactive",
    "self_chat",
    "parlai.tasks.convai2.agents",
)

_stock_load_world_module = loader.load_world_module


def install_worlds() -> None:
    """
    ParlAI looks a world up by name, Interactive<Variant>World in the task's module, and
    falls back to one without personas. Only the look-up is wrapped: classes that extend
    ParlAI's worlds, as those of other tasks do, stay as they are.
    """
    _replace(loader, "load_world_module", load_world_module)


def load_world_module(taskname: str, interactive_task=False, selfchat_task=False, **kwargs):
    """Our worlds for a chat on `CHAT_TASKS` and `SKETCH`, ParlAI's own choice for others."""
    task = taskname.strip()
    ours = task.split(":")[0].lower() in CHAT_TASKS or f"{task}:".startswith(f"{SKETCH}:")
    if "," not in task and ours:
        from p2bot_parlai.tasks.chat import persona_worlds

        if interactive_task:
            return persona_worlds.InteractiveWorld
        if selfchat_task:
            return persona_worlds.SelfChatWorld
    return _stock_load_world_module(
        taskname, interactive_task=interactive_task, selfchat_task=selfchat_task, **kwargs
    )
