"""Questions to a bot, one at a time or as a batch."""

from parlai.core.message import Message

PERSONA = "your persona: i eat soup every day.\nyour persona: i live in Bern.\n"
QUESTIONS = [
    "hello , where do you live ?",
    "what do you eat ?",
    "i own a cat . and you ?",
    "do you work as a baker or as a judge or as a nurse in Oslo ?",
    "hi",
    "i come from Lima , it is far away from here , do you know it ?",
    "my lunch was rice .",
    "do you own a pet ?",
]


def ask(agent, text, **fields):
    """One question to a fresh clone; the reply."""
    clone = agent.clone()
    clone.observe(Message({"text": text, "episode_done": True, **fields}))
    return clone.act()


def ask_together(agent, messages: list[dict]) -> list[Message]:
    """Messages to fresh clones, as one batch; the replies."""
    clones = [agent.clone() for _ in messages]
    seen = [
        clone.observe(Message({"episode_done": True, **message}))
        for clone, message in zip(clones, messages, strict=True)
    ]
    return agent.batch_act(seen)
