"""What ``--preset`` stands for: on which data, with which of the option presets of zoo/."""

from dataclasses import dataclass

# row of Table 1 -> name of its preset without the size (docs/baselines.md)
BASELINES = {
    "KV Profile Memory": "kv_profile_memory",
    "Dually Interactive Matching": "biencoder",
    "IR": "ir_baseline",
    "Generative Profile Memory": "profile_memory",
    "Language Model": "language_model",
    "SEQ2SEQ-ATTN": "seq2seq",
    "Transfertransfo": "transfertransfo",
}
VARIANTS = ("original", "revised")
ORIGINAL, REVISED = ("self_original",), ("self_revised",)


@dataclass(frozen=True)
class Preset:
    """
    :param source: the teacher, before the variant of the persona.
    :param trainings: how a model may be trained: name -> variants of ``source``.
    :param training_for: personas that are evaluated on -> the training of the model.
    :param presets: stage -> option preset; {} in it: "" or "_revised", by the training.
    :param baselines: how presets of baselines begin.
    :param transfertransfo: the preset of that row, and what it is given besides.
    :param examples: validation examples that an evaluation reads; -1: all.
    :param save_every: seconds between two checkpoints of a training.
    """

    source: str
    trainings: dict[str, tuple[str, ...]]
    training_for: dict[str, str]
    presets: dict[str, str]
    baselines: str
    transfertransfo: tuple[str, dict] = ("transfertransfo", {})
    examples: int = -1
    save_every: int = 600


PRESETS = {
    # minutes: small models on the corpus that makes itself
    "sketch": Preset(
        source="p2bot:sketch",
        trainings={"both": ORIGINAL + REVISED},
        training_for={"original": "both", "revised": "both"},
        presets={s: f"sketch_{s}" for s in ("transmitter", "receiver", "selfplay")},
        baselines="sketch",
        transfertransfo=("sketch_transfertransfo", {}),
        examples=1000,
        save_every=60,
    ),
    # weights that come as pip packages; learns from original personas alone
    "smollm2": Preset(
        source="convai2",
        trainings={"original": ORIGINAL},
        training_for={"original": "original", "revised": "original"},
        presets={s: f"smollm2_{s}" for s in ("transmitter", "receiver", "selfplay")},
        baselines="small",
        transfertransfo=(
            "transfertransfo",
            # eight dialogues with three distractors each take 15 GB of a SmolLM2
            {"backbone": "smollm2", "learningrate": 1e-4, "warmup_updates": 100, "batchsize": 2},
        ),
    ),
    # section 5.1: GPT and BERT, a model for original and one for revised personas
    "paper": Preset(
        source="convai2",
        trainings={"original": ORIGINAL, "revised": REVISED},
        training_for={"original": "original", "revised": "revised"},
        presets={s: f"paper_{s}{{}}" for s in ("transmitter", "receiver", "selfplay")},
        baselines="small",
    ),
}
