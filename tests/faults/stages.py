"""The three stages of training, at the smallest size that does all that a long run does."""

from pathlib import Path

SIZES = "--vocab-size 300 --n-layers 1 --n-heads 2 --embedding-size 16"
# validations, log lines and, by the clock, checkpoints besides
RHYTHM = "--seed 3 -lr 1e-2 -bs 2 -lstep 4 -vme 4 --short-final-eval true -stim 0.4"
CORPUS = "--sketch-dialogues 36"

TRANSMITTER = f"-m p2bot --backbone scratch {SIZES} --n-positions 256 --text-truncate 128 "
TRANSMITTER += "--label-truncate 16"
RECEIVER = f"-m p2bot/receiver --encoder scratch {SIZES} --text-truncate 24 --distractors 3"
SUPERVISED = f"{TRANSMITTER} -t p2bot:sketch --skip-generation true"
PERCEPTION = f"{RECEIVER} -t p2bot:persona_perception:p2bot:sketch"
SELF_PLAY = "-m p2bot -t p2bot:selfplay:p2bot:sketch -et p2bot:sketch --skip-generation true "
SELF_PLAY += "--label-truncate 6"

STEPS = 26
STAGES = ("supervised", "receiver", "self-play")


def command(stage: str, model: Path, trained: Path, steps: int = STEPS) -> list[str]:
    """
    Arguments of ``parlai`` for a run of a stage.

    :param model: ``--model-file``.
    :param trained: folder with what self-play begins with, and with the data.
    :param steps: updates; of self-play, which takes longer, there are half as many.
    """
    steps = steps // 2 if stage == "self-play" else steps
    words = ["train_model", "-mf", str(model), "-dp", str(trained / "data")]
    words += ["--max-train-steps", str(steps), "-vstep", str(max(2, steps // 4))]
    if stage == "self-play":
        begin = ["--init-model", str(model_of("supervised", trained))]
        begin += ["--receiver", str(model_of("receiver", trained))]
        return [*words, *SELF_PLAY.split(), *begin, *RHYTHM.split(), *CORPUS.split()]
    given = {"supervised": SUPERVISED, "receiver": PERCEPTION}[stage]
    return [*words, *given.split(), *RHYTHM.split(), *CORPUS.split()]


def model_of(stage: str, trained: Path) -> Path:
    """The model of the run of a stage that nobody disturbed."""
    return trained / stage / "model"
