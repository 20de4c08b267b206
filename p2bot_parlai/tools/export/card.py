"""The model card of an export, filled in from the training run."""

import glob
import json
from pathlib import Path

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context_style import APPEND, ORIGINAL

PAPER = "https://aclanthology.org/2020.acl-main.131/"
# options that say how a model was made; paths and what belongs to one machine are not among them
SETTINGS = (
    *("model", "task", "backbone", "encoder", "share_encoders", "n_layers", "n_heads"),
    *("embedding_size", "text_truncate", "label_truncate", "nup_coef", "num_distractors", "alpha"),
    *("inference", "beam_size", "loss", "margin", "beta", "negatives", "one_sided_dropout"),
    *("optimizer", "learningrate", "lr_scheduler", "batchsize", "num_epochs", "max_train_steps"),
    "seed",
)
METRICS = (
    *("hits@1", "ppl", "ppl_word", "f1", "bleu-4", "token_acc", "nup_acc", "reward"),
    *("mrr", "hits@1_of_100", "true_cell"),
)

TRANSMITTER_USE = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "path/to/this/folder"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
messages = [
    {"role": "system", "content": "i have two dogs.\\ni work as a nurse."},
    {"role": "user", "content": "hi , how are you ?"},
]
inputs = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answer = model.generate(**inputs)[0, inputs["input_ids"].shape[1] :]
print(tokenizer.decode(answer, skip_special_tokens=True))
```

The persona is the system message, one sentence per line. A conversation becomes
`{form}`;
special tokens in a message are rendered as text.

`next_utterance.safetensors` holds the head that tells the next utterance from a distractor:
weight (1, D) and bias (1,), applied to the last hidden state {place}. p2bot_parlai
re-ranks beam hypotheses with it (Eq. 3); plain `generate` does not.

To train it further: `parlai train_model -m p2bot --backbone <this folder>`, which takes the
language model and the tokenizer; the head starts from random weights."""

RECEIVER_USE = """\
```python
from sentence_transformers import SentenceTransformer

folder = "path/to/this/folder"
{loading}
relevance = said @ profile.T / said.shape[1] ** 0.5  # Eq. 11: (utterances, sentences)
```

A sentence vector is the mean of all token vectors. transformers may warn about a newly initialised
pooler; it is not used. The temperature of Agg (Eq. 13) is {tau:.4g}."""
ONE_ENCODER = """\
encoder = SentenceTransformer(folder)
said = encoder.encode(["i walk my dogs every morning ."])
profile = encoder.encode(["i have two dogs.", "i work as a nurse."])"""
TWO_ENCODERS = """\
said = SentenceTransformer(f"{folder}/impression").encode(["i walk my dogs every morning ."])
profile = SentenceTransformer(f"{folder}/persona").encode(["i have two dogs."])"""


def transmitter_card(opt: dict, model_file: str) -> str:
    head = ["library_name: transformers", "pipeline_tag: text-generation"]
    about = "A Transmitter of P²Bot: it responds as a speaker with the given persona."
    if opt.get("context_style", APPEND.name) == ORIGINAL.name:
        form = "<pstart> persona <pend> <t1start> utterance <t1end> response <t1start> ..."
        place = "of a response, at `<end>`"
    else:
        form = "[PS] persona [PE] [PARTNER] utterance [SELF] response [EOS] ..."
        place = "at [CLS], after `[EOS]`"
    use = TRANSMITTER_USE.replace("{form}", form).replace("{place}", place)
    return _card(head, about, use, opt, model_file)


def receiver_card(opt: dict, model_file: str, tau: float) -> str:
    head = ["library_name: sentence-transformers", "pipeline_tag: sentence-similarity"]
    about = "A Receiver of P²Bot: how strongly an utterance reveals each profile sentence."
    loading = ONE_ENCODER if opt["share_encoders"] else TWO_ENCODERS
    use = RECEIVER_USE.format(loading=loading, tau=tau)
    return _card(head, about, use, opt, model_file)


def _card(head: list[str], about: str, use: str, opt: dict, model_file: str) -> str:
    lines = ["---", *head, "tags:", "- p2bot", "- persona", "- dialogue", "---", ""]
    lines += ["# P²Bot", "", about, ""]
    lines += [
        f"The method is from [You Impress Me]({PAPER}) (ACL 2020). Trained with p2bot_parlai."
    ]
    lines += ["", "## Use", "", use, "", "## Training", "", "| option | |", "|---|---|"]
    shown = {name: opt[name] for name in SETTINGS if opt.get(name) not in (None, "", -1)}
    for name, value in shown.items():
        lines.append(f"| `--{name.replace('_', '-')}` | {_without_paths(value)} |")
    for title, report in reports(model_file).items():
        lines += ["", f"## Results: {title}", "", "| metric | |", "|---|---|"]
        lines += [f"| {name} | {value:.4g} |" for name, value in report.items()]
    return "\n".join(lines) + "\n"


def reports(model_file: str) -> dict[str, dict[str, float]]:
    """
    What was measured of a model: at the end of its training run, and by ``eval_model
    --report-filename .<name>.json``, which writes beside the model.

    :return: by title, its metrics.
    :raises P2botError: for a report that cannot be read.
    """
    found = {}
    stats = Path(f"{model_file}.trainstats")
    if stats.exists():
        of_run = _read(stats)
        found["validation"] = of_run.get("final_valid_report") or {}
        found["test"] = of_run.get("final_test_report") or {}
    for path in sorted(glob.glob(f"{glob.escape(model_file)}.*.json")):
        of_eval = _read(Path(path))
        if isinstance(of_eval, dict) and of_eval.keys() >= {"opt", "report"}:
            task = _without_paths(of_eval["opt"].get("task"))
            found[f"{task}, {of_eval['opt'].get('datatype')}"] = of_eval["report"]
    kept = {
        title: {name: float(report[name]) for name in METRICS if name in report}
        for title, report in found.items()
    }
    return {title: report for title, report in kept.items() if report}


def _read(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise P2botError(f"{path} cannot be read as a report: {error}") from error


def _without_paths(value) -> str:
    """Paths of this machine mean nothing to others."""
    parts = [
        "a folder" if "/" in part and Path(part).is_absolute() else part
        for part in str(value).split(",")
    ]
    return ",".join(parts)
