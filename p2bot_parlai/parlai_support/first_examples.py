"""``eval_model --num-examples N``: N examples, where ParlAI evaluates whole batches."""

from parlai.core.message import Message
from parlai.core.teachers import Teacher

from p2bot_parlai.parlai_support.mutators import labels_of

EXACTLY = "p2bot_num_examples"  # key of an opt


def end_after(teacher: Teacher, number: int) -> None:
    """
    Let a teacher, and those that share its data, give ``number`` examples that are counted (with
    a label, or an opening of self-play) and no more.

    Its class is replaced, as ParlAI makes the others of a batch by class.
    """
    kind, left = type(teacher), number

    class Ending(kind):
        def act(self):
            nonlocal left
            if left == 0:
                self.lastY = None
                return Message.padding_example()
            message = super().act()
            counted = labels_of(message) or "opening" in message or self.opt.get("hide_labels")
            left -= bool(counted and not message.is_padding())
            return message

        def epoch_done(self):
            return left == 0 or super().epoch_done()

        def num_examples(self):
            return min(number, super().num_examples())

    teacher.__class__ = Ending
