"""The model card of an export, filled in from the training run."""

import glob
import json
from pathlib import Path
from string import Template

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.names import ALIASES
from p2bot_parlai.method.backbones.packaged import LANGUAGE_MODELS
from p2bot_parlai.method.context_style import APPEND, ORIGINAL
from p2bot_parlai.tools.export.receiver import IMPRESSION, PERSONA

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


_MERGED = {
    "library": "transformers",
    "imports": "from transformers import AutoModelForCausalLM, AutoTokenizer",
    "model": "model = AutoModelForCausalLM.from_pretrained(folder)",
    "again": "--backbone <this folder>`, which takes the language model",
}
_ADAPTER = {
    "library": "peft",
    "imports": "from peft import PeftModel\n"
    "from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig",
    "again": "--adapter <this folder>`, which takes the adapter",
}


def transmitter_card(opt: dict, model_file: str, base: dict | None = None) -> str:
    """:param opt: of the training run. :param base: of an adapter: `adapted.Base` as a dict."""
    facts = _MERGED
    if base:
        name = ALIASES.get(base["name"], base["name"])
        imports, where = _ADAPTER["imports"], repr(_without_paths(name)).replace("'", '"')
        if name in LANGUAGE_MODELS:
            where = f"backbone_path({where})"
            imports += "\nfrom p2bot_parlai.method.backbones import backbone_path"
        size = max(base["size"], base["vocabulary"])
        facts = _ADAPTER | {
            "imports": imports,
            "model": f"base = AutoModelForCausalLM.from_pretrained({where})\n"
            f"base.resize_token_embeddings({size})  # with the special tokens\n"
            "model = PeftModel.from_pretrained(base, folder)\n"
            "model.generation_config = GenerationConfig.from_pretrained(folder)",
        }
    if opt.get("context_style", APPEND.name) == ORIGINAL.name:
        form = "<pstart> persona <pend> <t1start> utterance <t1end> response <t1start> ..."
        place = "of a response, at `<end>`"
    else:
        form = "[PS] persona [PE] [PARTNER] utterance [SELF] response [EOS] ..."
        place = "at [CLS], after `[EOS]`"
    return _card("transmitter", opt, model_file, form=form, place=place, **facts)


def receiver_card(opt: dict, model_file: str, tau: float) -> str:
    """:param opt: of the training run. :param tau: temperature of Eq. 13."""
    names = (IMPRESSION, PERSONA)
    folders = {n: "folder" if opt["share_encoders"] else f'folder + "/{n}"' for n in names}
    return _card("receiver", opt, model_file, **folders, tau=f"{tau:.4g}")


def _card(name: str, opt: dict, model_file: str, **facts: str) -> str:
    """:param name: of the template. :param facts: what to fill in besides options and results."""
    template = Template(Path(__file__).with_name(f"{name}.md").read_text(encoding="utf-8"))
    shown = {name: opt[name] for name in SETTINGS if opt.get(name) not in (None, "", -1)}
    settings = [f"| `--{n.replace('_', '-')}` | {_without_paths(v)} |" for n, v in shown.items()]
    results = []
    for title, report in reports(model_file).items():
        results += ["", f"## Results: {title}", "", "| metric | |", "|---|---|"]
        results += [f"| {metric} | {value:.4g} |" for metric, value in report.items()]
    return template.substitute(facts, settings="\n".join(settings), results="\n".join(results))


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
