"""
Every option that our agents inherit from ParlAI's does what its help says, or is refused.

`EFFECTS` has a line for each: what to give, and what must differ. The list of options is made
from the parsers, so that none is forgotten.
"""

import contextlib
import copy
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pairs
import people
import pytest
import tiny
import torch
from asking import PERSONA
from parlai.core.agents import create_agent, create_agent_from_model_file
from parlai.core.loader import load_agent_module
from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.torch_generator_agent import TreeSearch
from parlai.scripts.train_model import setup_args
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from p2bot_parlai.agents.dictionary import P2botDictionary
from p2bot_parlai.agents.options.inherited import NEEDS
from p2bot_parlai.agents.stock_searches import PhraseBlocklist
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.searches import TensorSearch
from p2bot_parlai.method.tokenizers import P2botTokenizer

SPEAKERS = ("p2bot", "p2bot/profile_memory", "p2bot/seq2seq")
DIALOGUE = (*SPEAKERS, "p2bot/kv_profile_memory")
ENCODERS = ("p2bot/receiver", "p2bot/persona_nli")
ALL = (*DIALOGUE, *ENCODERS)
OTHERS = ("p2bot/transmitter", "p2bot/ir_perception", "p2bot/random_perception")
SMALL = {
    "p2bot/seq2seq": {"hiddensize": 16, "embeddingsize": 16, "numlayers": 1, "dropout": 0.0},
    "p2bot/profile_memory": {"hidden_size": 16, "embedding_size": 16},
    "p2bot/kv_profile_memory": {"embedding_size": 16, "kv_memories": 10},
}
NOT_THEIRS = dict.fromkeys(
    ("backbone", "n_layers", "n_heads", "embedding_size", "n_positions", "text_truncate")
)
CANDIDATES = ["i eat soup .", "no .", "i live in Bern .", "yes , i own a cat and a dog ."]


@pytest.fixture(scope="module")
def home(tmp_path_factory, convai2, tiny_model):
    """Model name -> (data folder, path of a model that was trained for a moment)."""
    folder, made = tmp_path_factory.mktemp("inherited"), {}

    def of(model: str) -> tuple[str, str]:
        if model in made:
            return made[model]
        data, path = folder / "data", str(folder / model.replace("/", "_"))
        if model == "p2bot":
            data, path = convai2, f"{shutil.copytree(Path(tiny_model).parent, path)}/model"
        elif model == "p2bot/receiver":
            data = people.write_people(data / "people", people=8)
            people.train(data, path, max_train_steps=1, validation_max_exs=1)
        elif model == "p2bot/persona_nli":
            data = pairs.write_pairs(data / "pairs")
            pairs.train(data, path, max_train_steps=1, validation_max_exs=1)
        else:
            data = convai2
            given = {**NOT_THEIRS, "vocab_size": 300, **SMALL[model], "model": model}
            given |= {"max_train_steps": 8, "validation_max_exs": 2, "learningrate": 0.02}
            tiny.train(data, path, skip_generation=model in SPEAKERS or None, seed=3, **given)
        # without the state of the optimizer, which would bring its own options along
        create_agent_from_model_file(path, {**tiny.QUIET, "datatype": "valid"}).save(path)
        made[model] = (data, path)
        return made[model]

    return of


@dataclass
class Case:
    """One agent in one test. :param path: of its saved model."""

    model: str
    data: str
    path: str
    folder: object

    def make(self, **options):
        """The saved model with options; what training had is not among what the user says."""
        given = {**tiny.QUIET, "datatype": "train", "datapath": self.data, **options}
        torch.manual_seed(0)
        random.seed(0)
        return create_agent_from_model_file(self.path, given)

    def new(self, **options):
        """An agent with new weights and the saved tokenizer."""
        common = people.RECEIVER if self.model == "p2bot/receiver" else tiny.MODEL
        common = pairs.NLI if self.model == "p2bot/persona_nli" else common
        own = {**tiny.QUIET, **common, **(NOT_THEIRS if self.model in SMALL else {})}
        given = {**own, **SMALL.get(self.model, {}), "model": self.model, "datapath": self.data}
        given |= {"dict_file": f"{self.path}.dict", "datatype": "train", **options}
        torch.manual_seed(0)
        given = {name: value for name, value in given.items() if value is not None}
        return create_agent(setup_args().parse_kwargs(**given))

    def file(self, name: str, *lines: str) -> str:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(path)

    def message(self, number: int = 0, labels: str = "eval_labels") -> Message:
        if self.model == "p2bot/receiver":
            text, said, options = "i slept .\nplease no apples .", "i collect apples.", CANDIDATES
        elif self.model == "p2bot/persona_nli":
            text, said, options = f"i like tea {number} .\ni enjoy tea.", "positive", []
        else:
            text, said, options = f"{PERSONA}what do you eat , {number} ?", "i eat soup .", []
        found = {"text": text, labels: [said], "episode_done": True}
        if self.model != "p2bot/persona_nli":
            found["label_candidates"] = list(dict.fromkeys([said, *CANDIDATES, *options]))
        if self.model == "p2bot/receiver":
            found["candidate_people"] = list(range(len(found["label_candidates"])))
        return Message(found)


# ------------------------------------------------------------------------- what can be seen
def learnt(case: Case, agent, steps: int = 3) -> list[float]:
    """The weights after some updates."""
    for step in range(steps):
        train(case, agent, step)
    return torch.cat([p.detach().flatten() for p in agent.model.parameters()]).tolist()


def train(case: Case, agent, step: int = 0, labels="labels") -> list[Message]:
    clones = [agent.clone() for _ in range(2)]
    seen = [clone.observe(case.message(step + n, labels)) for n, clone in enumerate(clones)]
    return agent.batch_act(seen)


def rates(case: Case, agent) -> list[float]:
    """Learning rates over updates and validations."""
    found = []
    for step in range(4):
        agent.set_progress(step / 4)
        train(case, agent, step)
        found.append(agent.optimizer.param_groups[0]["lr"])
        agent.receive_metrics({"loss": 1.0})
        found.append(agent.optimizer.param_groups[0]["lr"])
    return found


def reply(case: Case, agent) -> dict:
    """What it answers in evaluation, and all that it says of that."""
    torch.manual_seed(1)
    random.seed(1)
    (first, second) = train(case, agent, labels="eval_labels")
    kept = ("text", "text_candidates", "beam_texts", "logits", "sorted_scores", "probs")
    found = {name: copy.deepcopy(first.get(name)) for name in kept}
    return found | {
        "second": second.get("text"),
        "metrics": {k: v and float(v.value()) for k, v in (first.get("metrics") or {}).items()},
    }


def read(case: Case, agent) -> list:
    """What it reads in the third turn of a conversation, and of the label."""
    clone = agent.clone()
    for turn in range(3):
        seen = case.message(turn)
        seen.force_set("text", seen["text"] if not turn else f"and then , number {turn} ?")
        seen.force_set("episode_done", False)
        clone.observe(seen)
        if turn < 2:
            clone.act()
    return [clone.observation[name].tolist() for name in ("text_vec", "eval_labels_vec")]


def optimizer(case: Case, agent) -> bool:
    return hasattr(agent, "optimizer")


def written(case: Case, agent) -> list:
    """Texts and scores of all hypotheses, where they may end everywhere."""
    with ending():
        return reply(case, agent)["beam_texts"]


@contextlib.contextmanager
def ending(token: int | None = None):
    """An end, or another token, is always likelier than all others."""

    def gladly(advance):
        def say(self, scores, which):
            scores[..., self.eos if token is None else token] = scores.max() + 20
            return advance(self, scores, which)

        return say

    with pytest.MonkeyPatch.context() as patch:
        for kind in (TreeSearch, TensorSearch):
            patch.setattr(kind, "advance", gladly(kind.advance))
        yield


def first_candidates(case: Case, agent):
    return reply(case, agent)["text_candidates"]


def message_keys(case: Case, agent) -> list[str]:
    return sorted(key for key, value in reply(case, agent).items() if value is not None)


def looked_at(case: Case, agent) -> list[int]:
    """How much of each context n-grams are blocked from."""
    seen: list[int] = []
    told = TreeSearch.set_batch_context
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            TreeSearch,
            "set_batch_context",
            lambda self, contexts, row, gpu: (
                seen.append(contexts.shape[1]) or told(self, contexts, row, gpu)
            ),
        )
        clone = agent.clone()
        for turn in range(4):
            message = {"text": PERSONA * (not turn) + "soup " * 12, "episode_done": False}
            clone.observe(Message(message))
            clone.act()
    return seen


def own_reply(case: Case, agent) -> list:
    """In a conversation that says one of the candidates."""
    agent.observe(Message({"text": f"{PERSONA}{CANDIDATES[0]}", "episode_done": False}))
    return agent.act()["text_candidates"]


def with_bad_candidates(case: Case, agent) -> str:
    """Of an example whose label is not among the candidates."""
    message = case.message()
    message.force_set("eval_labels", ["nobody says this ."])
    clone = agent.clone()
    try:
        clone.observe(message)
        return clone.act()["text"]
    except RuntimeError as error:
        return str(error)


def shape(case: Case, agent) -> list:
    """Of a new network: the sizes of its weights, and its loss."""
    torch.manual_seed(0)
    (first, _) = train(case, agent)
    sizes = [tuple(p.shape) for p in agent.model.parameters()]
    return [sizes, {k: float(v.value()) for k, v in first["metrics"].items()}]


def trained_report(case: Case, agent) -> dict:
    (first, _) = train(case, agent)
    return {name: float(value.value()) for name, value in first["metrics"].items()}


# ------------------------------------------------------------------- how an option is tested
WITHOUT: dict = {}  # what was seen without an option


@dataclass
class Differs:
    """
    What `see` finds is the same twice without the option, and another with it.

    :param value: of the option. :param beside: other options in both cases.
    :param first: of how many of the agents it is shown; the code of the others is the same.
    :param new: of an agent with new weights. A value may be a function of the case.
    """

    see: Callable
    value: object
    beside: dict = field(default_factory=dict)
    first: int = 9
    new: bool = False

    def check(self, option: str, case: Case) -> None:
        key = (case.model, self.see.__name__, self.new, str(self.beside))
        if key not in WITHOUT:
            WITHOUT[key] = self.found(case, {})
            assert WITHOUT[key] == self.found(case, {})  # else the next line could not fail
        assert WITHOUT[key] != self.found(case, {option: self.value})

    def found(self, case: Case, option: dict):
        make = case.new if self.new else case.make
        given = {**self.beside, **option}
        given = {name: v(case) if callable(v) else v for name, v in given.items()}
        return self.see(case, make(**given))


def differs(see, value, **beside) -> Differs:
    return Differs(see, value, beside)


def once(see, value, **beside) -> Differs:
    return Differs(see, value, beside, first=1)


def spoken(see, value, **beside) -> Differs:
    """Of the Transmitter and of one baseline, which all decode alike."""
    return Differs(see, value, beside, first=2)


def built(value, **beside) -> Differs:
    return Differs(shape, value, beside, new=True)


def first_file(case: Case) -> str:
    return case.file("first", *CANDIDATES)


def second_file(case: Case) -> str:
    return case.file("second", "hello .", "bye .")


SGD = {"optimizer": "sgd", "learningrate": 1.0}
FIXED = {"lr_scheduler": "fixed", "lr_scheduler_patience": 1}
BLOCKING = {"inference": "nucleus", "beam_size": 1, "topp": 1.0, "temperature": 3.0}
KV = ("p2bot/kv_profile_memory",)
NLI = ("p2bot/persona_nli",)
SEQ2SEQ = ("p2bot/seq2seq",)
FACTUAL = {"inference": "factual_nucleus"}
SAMPLING = {"inference": "nucleus", "beam_size": 1}

EFFECTS: dict[str, tuple[tuple[str, ...], Differs]] = {
    # ---- learning
    "optimizer": (ALL, differs(learnt, "sgd")),
    "learningrate": (ALL, differs(learnt, 0.5)),
    "gradient_clip": (ALL, differs(learnt, 1e-6, **SGD)),
    "lr_scheduler": (ALL, differs(rates, "fixed", lr_scheduler="linear", warmup_updates=-1)),
    "update_freq": ((*DIALOGUE, "p2bot/receiver"), differs(learnt, 5)),
    "interactive_mode": (ALL, differs(optimizer, True, interactive_candidates="inline")),
    "weight_decay": (ALL, once(learnt, 0.9)),
    "adam_eps": (ALL, once(learnt, 1.0)),
    "betas": (ALL, once(learnt, (0.1, 0.2))),
    "momentum": (ALL, once(learnt, 0.9, **SGD)),
    "nesterov": (ALL, once(learnt, False, momentum=0.9, **SGD)),
    "adafactor_eps": (ALL, once(learnt, (1e-3, 1.0), optimizer="adafactor")),
    "lr_scheduler_patience": (ALL, once(rates, 2, **FIXED)),
    "lr_scheduler_decay": (ALL, once(rates, 0.1, **FIXED)),
    "invsqrt_lr_decay_gamma": (ALL, once(rates, 10, lr_scheduler="invsqrt", warmup_updates=1)),
    "warmup_updates": (ALL, once(rates, 3, lr_scheduler="linear")),
    "warmup_rate": (ALL, once(rates, 0.5, lr_scheduler="linear", warmup_updates=3)),
    # ---- reading
    "label_truncate": (DIALOGUE, differs(read, 3)),
    "history_size": (DIALOGUE, differs(read, 1)),
    "use_reply": (DIALOGUE, differs(read, "none")),
    "rank_candidates": (SPEAKERS, differs(first_candidates, False)),
    # ---- decoding
    "skip_generation": (SPEAKERS, spoken(message_keys, True)),
    "inference": (DIALOGUE, differs(reply, "topk", topk=9)),
    "topk": (DIALOGUE, differs(reply, 1, inference="topk", beam_size=1)),
    "topp": (SPEAKERS, once(reply, 0.01, **SAMPLING)),
    "temperature": (SPEAKERS, spoken(reply, 0.05, **SAMPLING)),
    "beam_size": (SPEAKERS, spoken(written, 4, inference="beam")),
    "beam_delay": (SPEAKERS, once(reply, 1, inference="delayedbeam", beam_size=2)),
    "beam_length_penalty": (SPEAKERS, spoken(written, 3.0, inference="beam", beam_size=3)),
    "beam_block_ngram": (SPEAKERS, spoken(reply, 1, **BLOCKING)),
    "beam_context_block_ngram": (SPEAKERS, spoken(reply, 1, **BLOCKING)),
    "beam_block_full_context": (
        SPEAKERS,
        spoken(looked_at, False, text_truncate=70, beam_context_block_ngram=2),
    ),
    "lambda_decay": (SPEAKERS, once(reply, 0.01, omega_bound=0.0, **FACTUAL)),
    "omega_bound": (SPEAKERS, once(reply, 0.9, lambda_decay=0.01, **FACTUAL)),
    "p_reset": (SPEAKERS[1:] + SPEAKERS[:1], once(reply, False, lambda_decay=0.01, **FACTUAL)),
    "verbose_topk": (SPEAKERS, spoken(reply, 2, verbose=True)),
    # ---- the ranker
    "cap_num_predictions": (KV, differs(first_candidates, 2)),
    "rank_top_k": (KV, differs(first_candidates, 2)),
    "return_cand_scores": (KV, differs(message_keys, True)),
    "candidates": (KV, differs(learnt, "inline")),
    "eval_candidates": (KV, differs(first_candidates, "batch")),
    "train_predict": (
        KV,
        differs(trained_report, True, candidates="inline"),
    ),
    "ignore_bad_candidates": (
        KV,
        differs(
            with_bad_candidates,
            True,
            eval_candidates="fixed",
            fixed_candidates_path=first_file,
        ),
    ),
    "fixed_candidates_path": (
        KV,
        differs(
            first_candidates,
            second_file,
            eval_candidates="fixed",
            fixed_candidates_path=first_file,
            ignore_bad_candidates=True,
        ),
    ),
    "interactive_candidates": (
        KV,
        differs(
            first_candidates,
            "fixed",
            interactive_mode=True,
            interactive_candidates="inline",
            fixed_candidates_path=second_file,
        ),
    ),
    "repeat_blocking_heuristic": (
        KV,
        differs(own_reply, False, eval_candidates="fixed", fixed_candidates_path=first_file),
    ),
    # ---- the network of seq2seq
    "hiddensize": (SEQ2SEQ, built(8)),
    "embeddingsize": (SEQ2SEQ, built(8)),
    "numlayers": (SEQ2SEQ, built(2)),
    "dropout": (SEQ2SEQ, built(0.5)),
    "bidirectional": (SEQ2SEQ, built(True)),
    "attention": (SEQ2SEQ, built("general")),
    "attention_length": (SEQ2SEQ, built(2, attention="local")),
    "attention_time": (SEQ2SEQ, built("pre")),
    "rnn_class": (SEQ2SEQ, built("gru")),
    "decoder": (SEQ2SEQ, built("shared")),
    "lookuptable": (SEQ2SEQ, built("unique")),
    "numsoftmax": (SEQ2SEQ, built(2)),
    # ---- the classifier
    "class_weights": (NLI, differs(learnt, [5.0, 1.0, 0.1])),
    "print_scores": (NLI, differs(message_keys, True)),
    "ignore_labels": (NLI, differs(reply, True)),
}


@pytest.mark.parametrize(
    ("option", "model"),
    [(o, m) for o, (models, way) in EFFECTS.items() for m in models[: way.first]],
)
def test_an_option_does_what_its_help_says(home, tmp_path, option, model):
    EFFECTS[option][1].check(option, Case(model, *home(model), tmp_path))


# ------------------------------------------------------------- options with a test of their own
ELSEWHERE = {
    "truncate": ALL,
    "text_truncate": ALL,
    "beam_min_length": SPEAKERS,
    "beam_block_list_filename": SPEAKERS,
    "fixed_candidate_vecs": KV,
    "dict_file": ALL,
    "gpu": ALL,
    "no_cuda": ALL,
}


@pytest.fixture(params=ALL)
def case(request, home, tmp_path) -> Case:
    return Case(request.param, *home(request.param), tmp_path)


@pytest.fixture(params=SPEAKERS)
def speaker(request, home, tmp_path) -> Case:
    return Case(request.param, *home(request.param), tmp_path)


def test_truncate_is_for_texts_and_labels_without_a_limit_of_their_own(case):
    agent = case.make(truncate=60)
    assert (agent.text_truncate, agent.label_truncate) == (60, 60)
    agent = case.make(truncate=60, text_truncate=70)
    assert (agent.text_truncate, agent.label_truncate) == (70, 60)
    if case.model in DIALOGUE:
        context, label = read(case, case.make(truncate=45, label_truncate=3))
        assert len(context) <= 45 < len(read(case, case.make())[0]) and len(label) == 3
    else:
        assert learnt(case, case.make(truncate=5)) != learnt(case, case.make())


@pytest.mark.parametrize(
    ("model", "inference"),
    [
        *((model, way) for model in SPEAKERS for way in ("greedy", "beam", "topk", "nucleus")),
        ("p2bot", "multinomial"),
    ],
)
def test_no_response_is_shorter_than_the_user_asks(home, tmp_path, model, inference):
    speaker, lengths = Case(model, *home(model), tmp_path), []
    for least in ({}, {"beam_min_length": 7}):
        agent = speaker.make(inference=inference, beam_size=1, topk=1, topp=0.01, **least)
        with ending():
            text = reply(speaker, agent)["text"]
        lengths.append(len(agent.dict.txt2vec(text)))
    assert lengths[0] < 7 <= lengths[1]


def test_a_blocked_word_is_nowhere_in_a_response(speaker):
    said = []
    for blocked in ({}, {"beam_block_list_filename": speaker.file("blocked", ".")}):
        agent = speaker.make(inference="greedy", **blocked)
        (stop,) = agent.dict.txt2vec(".")
        with ending(stop):
            said.append(reply(speaker, agent)["text"])
    assert "." in said[0] and "." not in said[1]
    with pytest.raises(P2botError, match="--beam-block-list-filename no/such cannot be read"):
        speaker.make(beam_block_list_filename="no/such")


@pytest.mark.parametrize("prefix_space", [True, False])
def test_a_word_is_blocked_at_the_start_and_in_the_middle(prefix_space):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    texts = ["cats like cats", "a cat sat"] * 9
    backend.train_from_iterator(texts, BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    dictionary = P2botDictionary(Opt({}), {"p2bot_tokenizer": P2botTokenizer(backend)})
    blocked = PhraseBlocklist(dictionary)
    blocked.add("cat")
    for text in ("cat", "a cat", "like cats", "CAT"):
        ids = dictionary.txt2vec(text)
        found = [ids[-n:] for n, phrases in blocked.items() for p in phrases if p == ids[-n:]]
        assert found, text


def test_vectors_of_fixed_candidates_are_kept_or_replaced(home, tmp_path):
    case = Case(KV[0], *home(KV[0]), tmp_path)
    path, found = case.file("fixed", *CANDIDATES), []
    given = {"eval_candidates": "fixed", "fixed_candidates_path": path}
    given["ignore_bad_candidates"] = True
    case.make(**given)
    case.file("fixed", *CANDIDATES[::-1])
    for way in ("reuse", "replace"):
        found.append(first_candidates(case, case.make(fixed_candidate_vecs=way, **given)))
    assert found[0] != found[1]


def test_the_dictionary_is_that_of_the_file(case):
    saved = case.make().dict.p2bot.fingerprint()
    assert case.new(dict_file=f"{case.path}.dict").dict.p2bot.fingerprint() == saved


def test_a_gpu_is_chosen_or_left_alone(case, monkeypatch):
    class Asked(Exception):
        pass

    def choose(number):
        raise Asked(number)

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.set_device", choose)
    with pytest.raises(Asked, match="3"):
        case.make(gpu=3)
    assert next(case.make(no_cuda=True).model.parameters()).device.type == "cpu"


# ------------------------------------------------------------------------ none is forgotten
def inherited(kind: type) -> dict:
    """The options of an agent class that are not ours, and their defaults."""
    parser = ParlaiParser(add_parlai_args=False)
    if hasattr(kind, "add_cmdline_args"):
        kind.add_cmdline_args(parser, None)
    defaults = vars(parser.parse_known_args([])[0])
    groups = [g for g in parser._action_groups if not g.title.startswith(("P²Bot", "Persona"))]
    names = [action.dest for group in groups for action in group._group_actions]
    return {name: defaults[name] for name in names if name in defaults}


@pytest.mark.parametrize("model", [*ALL, *OTHERS])
def test_every_inherited_option_is_shown_to_work_or_refused(model):
    kind = load_agent_module(model)
    like = "p2bot" if model == "p2bot/transmitter" else model
    works = {option for option, (models, _) in EFFECTS.items() if like in models}
    works |= {option for option, models in ELSEWHERE.items() if like in models}
    refused = set(getattr(kind, "WITHOUT_MEANING", ()))
    names = set(inherited(kind)) - {"parlai_home", "init_model"}
    if not names:  # agents without weights
        assert model in OTHERS and not refused
        return
    assert names - works - refused - set(NEEDS) == set()
    assert works - names == set(), "no longer there"
    assert works & refused == set()


def other_value(default):
    """Some value that an option may have besides its default."""
    if isinstance(default, bool) or default is None:
        return not default
    return default + 1 if isinstance(default, int | float) else f"{default}x"


def test_what_has_no_meaning_is_refused_by_name(case):
    kind = load_agent_module(case.model)
    defaults = {n: v for n, v in inherited(kind).items() if n in kind.WITHOUT_MEANING}
    case.make(**defaults)
    for name, default in defaults.items():
        why = re.escape(f"--{name.replace('_', '-')} {kind.WITHOUT_MEANING[name]}")
        with pytest.raises(P2botError, match=why):
            kind.check(Opt({"override": {name: other_value(default)}}))
    with pytest.raises(P2botError, match="--dict-lower does not apply"):
        case.make(dict_lower=True)


def test_what_a_saved_file_says_is_let_pass(case):
    path = Path(f"{case.path}.opt")
    saved = Opt.load(str(path))
    saved["delimiter"], saved["dict_lower"] = " ", True
    copied = shutil.copytree(path.parent, case.folder / "copied") / path.name
    saved.save(str(copied))
    agent = Case(case.model, case.data, str(copied).removesuffix(".opt"), case.folder).make()
    assert agent.opt["delimiter"] == " "


@pytest.mark.parametrize("option", NEEDS)
def test_what_the_optimizer_or_schedule_ignores_is_refused(convai2, tmp_path, option):
    other, values = NEEDS[option]
    given = {option: 0.25 if option != "nesterov" else False}
    if option in ("betas", "adafactor_eps"):
        given[option] = (0.25, 0.5)
    if option in ("lr_scheduler_patience", "warmup_updates", "invsqrt_lr_decay_gamma"):
        given[option] = 7
    unused = {"optimizer": "adadelta", "lr_scheduler": "none"}[other]
    why = f"--{option.replace('_', '-')} has no effect with --{other.replace('_', '-')} {unused}"
    with pytest.raises(P2botError, match=why):
        tiny.train(convai2, tmp_path / "model", **given, **{other: unused})


@pytest.mark.parametrize("way", ["model", "none"])
def test_use_reply_is_refused_in_training(convai2, tmp_path, way):
    with pytest.raises(P2botError, match="--use-reply is for evaluation"):
        tiny.train(convai2, tmp_path / "model", use_reply=way)
