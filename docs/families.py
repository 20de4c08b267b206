"""
Write the table of families in docs/backbones.md: `.venv/bin/python docs/families.py`.

Every family of the installed transformers that writes text or encodes it is built small, with
random weights, and goes through the check of `--backbone` or `--encoder`: some minutes on one
core, no network.
"""

import copy
import math
import re
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import torch
import transformers
from transformers.models.auto import modeling_auto

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import agreement, encoder, hub

PAGE = Path(__file__).parent / "backbones.md"
BEGIN, END = "<!-- families: docs/families.py -->", "<!-- end of families -->"
CAUSAL, ENCODER = "AutoModelForCausalLM", "AutoModel"
FAMILIES = {
    CAUSAL: modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    ENCODER: modeling_auto.MODEL_MAPPING_NAMES,
}
LENGTH = 64  # tokens that a backbone reads
DIVISORS = (16, 8, 4, 2)  # of widths
MOST_WEIGHTS = 16e6
# numbers of a configuration that are no widths
KEPT = re.compile("position|token|window|chunk|topk|max_|vocab|layer|heads|expert.*per")
NOT_TRIED = "not tried: the default configuration, made small, does not run on text"


def main(*families: str) -> None:
    """:param families: only these, to the screen."""
    if families:
        for auto_class, known in FAMILIES.items():
            for family in families:
                if family in known:
                    print(auto_class, family, verdict(family, auto_class), flush=True)
        return
    verdicts = {}
    for auto_class, known in FAMILIES.items():
        for family in sorted(known):
            verdicts[auto_class, family] = verdict(family, auto_class)
            print(auto_class, family, file=sys.stderr, flush=True)
    write(verdicts)


def write(verdicts: dict[tuple[str, str], tuple[str, str]]) -> None:
    """:param verdicts: of class and family; families with the same share a row."""
    tables = []
    for auto_class, title in ((CAUSAL, "`--backbone`"), (ENCODER, "`--encoder`")):
        rows = defaultdict(list)
        for (kind, family), (outcome, why) in sorted(verdicts.items()):
            if kind == auto_class:
                rows[outcome].append(family + (f" ({why})" if why else ""))
        tables += [f"| {title} | families |", "|---|---|"]
        tables += [f"| {outcome} | {', '.join(names)} |" for outcome, names in sorted(rows.items())]
        tables += [""]
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    said = f"transformers {transformers.__version__}, default configurations made small:"
    PAGE.write_text("\n".join([before + BEGIN, said, "", *tables, END]) + after, encoding="utf-8")


def verdict(family: str, auto_class: str) -> tuple[str, str]:
    """What is said of a family of transformers, and why nothing could be said."""
    if (family, auto_class) == ("openai-gpt", CAUSAL):
        return "accepted, with our own implementation", ""
    given = getattr(transformers, _first(FAMILIES[auto_class][family]), None)
    try:
        if given is None or given.main_input_name != "input_ids":
            return "refused: does not read text", ""
    except ImportError:
        return NOT_TRIED, "needs a library that is not installed"
    try:
        model = small_model(family, auto_class)
    except P2botError as error:  # no sdpa attention
        return f"refused: {_reason(error)}", ""
    if isinstance(model, str):
        return NOT_TRIED, model
    try:
        if auto_class == CAUSAL:
            hub.CausalLM(model)
            error = agreement.check_backbone(model, LENGTH)
        else:
            kept = encoder.SentenceEncoder(model)
            error = agreement.check_encoder(kept.model, kept.knows_segments)[2]
    except P2botError as error:
        return f"refused: {_reason(error)}", ""
    return f"accepted, equal to 1e{math.ceil(math.log10(max(error, 1e-6)))}", ""


def small_model(family: str, auto_class: str) -> torch.nn.Module | str:
    """The default configuration, narrow and with random weights, or why none runs."""
    why = ""
    for divisor in DIVISORS:
        try:
            given = narrow(transformers.CONFIG_MAPPING[family](), divisor).to_dict()
            with torch.device("meta"):
                counted = hub.build(given, auto_class)
            if sum(weight.numel() for weight in counted.parameters()) > MOST_WEIGHTS:
                return why or "too large"
            model = hub.build(given, auto_class).eval()
            halved = auto_class == ENCODER and model.config.is_encoder_decoder
            plain = {"use_cache": False} if auto_class == CAUSAL else {}
            with torch.no_grad():
                called = model.get_encoder() if halved else model
                called(input_ids=torch.tensor([[3, 4, 5]]), **plain)
            return model
        except Exception as error:  # whatever the code of a family raises: other widths may fit
            if isinstance(error, P2botError) and "sdpa" in str(error):
                raise
            said = str(error.__cause__ or error).strip().split("\n")[-1]
            why = why or re.sub(r"[][|<>`]|\s+", " ", said)[:60].strip()
    return why


def narrow(config: transformers.PreTrainedConfig, divisor: int) -> transformers.PreTrainedConfig:
    """Widths divided, few layers and words."""
    small = copy.deepcopy(config)
    for part in (small, *(getattr(small, name, None) for name in small.sub_configs)):
        for name, value in list(vars(part).items() if part is not None else ()):
            if type(value) is int and value >= 64 and not KEPT.search(name):
                setattr(part, name, value // divisor)
    layers = getattr(small.get_text_config(), "num_hidden_layers", 1)
    for count in (2, 4, 8, layers):
        if shortened := agreement.shortened(small, min(count, layers)):
            return shortened
    return small


def _first(names: str | tuple[str, ...]) -> str:
    return names if isinstance(names, str) else names[0]


def _reason(error: P2botError) -> str:
    """Without the family's name and figures, so that like families stand in one row."""
    said = re.sub(r"^models of type '.*?' cannot be an? \w+: |^\w+ (?=has no sdpa)", "", str(error))
    return re.sub(r" in transformers .*| \(.*", "", said)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    main(*sys.argv[1:])
