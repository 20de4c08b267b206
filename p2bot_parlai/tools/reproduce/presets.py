"""The presets of `parlai reproduce`: data, option presets of zoo/, tables and seeds."""

from dataclasses import dataclass, field, replace

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
PROMPTED = "Prompted, not trained"  # another row
# rows of Table 3 that rank with the model of another one: row -> (that row, options). By mutual
# information alone the responses are those of that row, which are not decoded again
BY_INFORMATION = {"rank_by": "mutual-information", "skip_generation": True}
RANKED = {
    "- Next, MI": ("- Next", BY_INFORMATION),
    "P²Bot-S, MI": ("P²Bot-S", BY_INFORMATION),
    "P²Bot-S + MI": ("P²Bot-S", {"rank_by": "both", "mutual_information": 0.05}),
}
TABLES = ("1", "3", "4", "5")
VARIANTS = ("original", "revised")
ORIGINAL, REVISED = ("self_original",), ("self_revised",)


@dataclass(frozen=True)
class Preset:
    """
    :param source: the teacher, before the variant of the persona.
    :param trained_on: personas of the evaluation -> variants of ``source`` to train on.
    :param stages: how the option presets of the three stages begin.
    :param baselines: how those of the baselines begin.
    :param transfertransfo: the preset of that row, and options that are added to it.
    :param options: stage, or "baselines" -> options that are added to its preset.
    :param trained: how the name of a training begins -> the model that takes its place.
    :param prompted: options of an instruct model that answers without training; empty: none.
    :param rows: of Table 3; empty: all.
    :param systems: of Tables 1 and 4; empty: all.
    :param dialogues: of the validation fold, that an evaluation reads, such as "251-500".
    :param chosen_on: dialogues of that fold for what is measured before the figures.
    :param examples: validation examples that an evaluation reads; -1: all.
    :param save_every: seconds between two checkpoints of a training.
    :param jobs: steps that run at a time.
    """

    source: str
    trained_on: dict[str, tuple[str, ...]]
    stages: str
    baselines: str
    transfertransfo: tuple[str, dict] = ("transfertransfo", {})
    options: dict[str, dict] = field(default_factory=dict)
    trained: dict[str, str] = field(default_factory=dict)
    prompted: dict = field(default_factory=dict)
    tables: tuple[str, ...] = TABLES
    rows: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    dialogues: str = ""
    chosen_on: str = ""
    seeds: str = "1,2,3"
    examples: int = -1
    save_every: int = 600
    jobs: int = 1


# small models on the generated corpus
SKETCH = Preset(
    source="p2bot:sketch",
    trained_on=dict.fromkeys(VARIANTS, ORIGINAL + REVISED),
    stages="sketch",
    baselines="sketch",
    transfertransfo=("sketch_transfertransfo", {}),
    examples=1000,
    save_every=60,
)
# the whole method in ten minutes on two cores; Table 5 first, so that the Receiver is trained
# beside P²Bot-S, and P²Bot beside - Persona
DEMO = replace(
    SKETCH,
    tables=("5", "3"),
    rows=("P²Bot-S", "- Persona", "+ RS.3"),
    seeds="1",
    examples=300,
    jobs=2,
    options={
        "transmitter": {"num_epochs": -1, "max_train_steps": 340},
        "receiver": {"num_epochs": 0.7},
        "selfplay": {"selfplay_dialogues": 1500},
    },
)
# more words to learn; there are no revised personas to train on
DEMO_CONVAI2 = replace(
    DEMO,
    source="convai2",
    trained_on=dict.fromkeys(VARIANTS, ORIGINAL),
    options=DEMO.options
    | {s: DEMO.options[s] | {"vocab_size": 4000} for s in ("transmitter", "receiver")},
)
# weights that come as pip packages; learns from original personas alone
SMOLLM2 = Preset(
    source="convai2",
    trained_on=dict.fromkeys(VARIANTS, ORIGINAL),
    stages="smollm2",
    baselines="small",
    transfertransfo=(
        "transfertransfo",
        # eight dialogues with three distractors each take 15 GB of a SmolLM2
        {"backbone": "smollm2", "learningrate": 1e-4, "warmup_updates": 100, "batchsize": 2},
    ),
    prompted={
        "model": "p2bot/transmitter",
        "backbone": "smollm2",
        "context_style": "chatml",
        "rank_by": "mutual-information",
        "alpha": 1,
        "text_truncate": 512,  # the prompt takes room
    },
    dialogues="251-500",
    chosen_on="1-250",
    options={
        "transmitter": {"num_epochs": 1},
        "selfplay": {"adapter_rank": 16, "selfplay_dialogues": 640},
        "baselines": {"max_train_time": 600},
    },
)
PRESETS = {
    "demo": DEMO,
    "demo_convai2": DEMO_CONVAI2,
    "sketch": SKETCH,
    "smollm2": SMOLLM2,
    # what ships: nothing of ours is trained
    "smollm2_zoo": replace(
        SMOLLM2,
        trained={
            "P2Bot-S": "zoo:p2bot/smollm2/supervised",
            "P2Bot": "zoo:p2bot/smollm2/model",
            "Receiver": "zoo:p2bot/smollm2/receiver",
        },
        tables=("1", "5", "3", "4"),
        rows=("P²Bot-S", "P²Bot-S, MI", "P²Bot-S + MI", "+ RS.3"),
        systems=(*BASELINES, PROMPTED, "P²Bot-S", "P²Bot"),
        seeds="1",
    ),
    # section 5.1: GPT and BERT, a model for original and one for revised personas
    "paper": Preset(
        source="convai2",
        trained_on={"original": ORIGINAL, "revised": REVISED},
        stages="paper",
        baselines="small",
    ),
}


def in_minutes(preset: Preset) -> Preset:
    """What `--minutes` leaves of a preset: the method alone, without ablations and baselines."""
    ours = ("P²Bot-S", "P²Bot")
    return replace(preset, rows=("P²Bot-S", "+ RS.3"), systems=ours, seeds="1")
