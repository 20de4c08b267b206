"""A small study without any model: what was said, who answered what, and ratings of it."""

from parlai.core.message import Message

from p2bot_parlai.tools.human_eval.sampling import Sample
from p2bot_parlai.tools.human_eval.study import Key, Study, make_study

SCRIPT = "<script>document.title = 'hacked'</script>"


def sample(number: int, persona=("i eat soup.", "i own a goat.")) -> Sample:
    """Two turns; the last one is to be answered."""
    lines = "".join(f"your persona: {sentence}\n" for sentence in persona)
    first = {"text": f"{lines}hello , i am number {number} .", "labels": ["hi ,\n i like soup ."]}
    last = {"text": "do you own a pet ?", "labels": [f"a goat , {number} ."]}
    messages = (Message({**first, "episode_done": False}), Message({**last, "episode_done": True}))
    return Sample("task", messages, last["labels"][0])


def study(count: int = 3, seed: int = 0, **answers) -> tuple[Study, Key]:
    """
    :param answers: system -> one answer a context; without any three systems answer, of which
        two say the same.
    """
    samples = [sample(number) for number in range(count)]
    if not answers:
        answers = {
            "human": [f"a goat , {number} ." for number in range(count)],
            "good": [f"i do . a goat ! {SCRIPT}"] * count,
            "copy": [f"i do . a goat ! {SCRIPT}"] * count,
        }
    return make_study(samples, answers, {name: f"{name}.model" for name in answers}, seed)


def response_of(key: Key, name: str, context: int) -> str:
    """The id of a system's answer to a context, counted from 1."""
    (found,) = (
        response
        for response, names in key.answered.items()
        if name in names and response.startswith(f"c{context}r")
    )
    return found
