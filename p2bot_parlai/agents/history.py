"""ParlAI's History, kept as a `Dialogue`: who said what, and the personas."""

import random

from parlai.core.message import Message
from parlai.core.torch_agent import History

from p2bot_parlai.method.context import Context, Dialogue, build_context


class DialogueHistory(History):
    """
    The stock History joins lines and drops the oldest text first, which is the persona.

    ``history_raw_strings`` stays what ParlAI's scripts expect.
    """

    def __init__(self, opt, **kwargs):
        super().__init__(opt, **kwargs)
        self.dialogue = Dialogue()
        self.shuffle_persona = opt.get("shuffle_persona", False)

    def reset(self):
        super().reset()
        self.dialogue = Dialogue()

    def update_history(self, obs: Message, temp_history: str | None = None):
        text = obs.get(self.field)
        if text is not None:
            self._update_raw_strings(text)
            self.dialogue.hear(text)
            # training messages have "labels", others "eval_labels"
            if self.shuffle_persona and "labels" in obs and len(self.dialogue.turns) < 2:
                random.shuffle(self.dialogue.persona)

    def add_reply(self, text: str):
        self._update_raw_strings(text)
        self.dialogue.say(text)

    def context(self, limit: int | None) -> Context:
        """The context ids, at most ``limit`` of them; see `build_context`."""
        turns = self.dialogue.turns
        if self.size > 0:  # --history-size counts utterances, the persona apart
            turns = turns[-self.size :]
        seen = Dialogue(self.dialogue.persona, self.dialogue.partner_persona, turns)
        return build_context(seen, self.dict.p2bot, limit, self.dict.txt2vec)
