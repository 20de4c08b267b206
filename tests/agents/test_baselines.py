"""The baselines of Table 1: each trains, is saved, loads and is evaluated by the same script."""

import pytest
import tiny
import torch
from asking import PERSONA, ask, ask_together
from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message

from p2bot_parlai.agents.history import DialogueHistory
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import read_model_file

# model -> options of a network that trains in a moment; validation writes nothing
SMALL = {
    "p2bot/seq2seq": {
        "hiddensize": 16,
        "embeddingsize": 16,
        "numlayers": 1,
        "skip_generation": True,
    },
    "p2bot/profile_memory": {"hidden_size": 16, "embedding_size": 16, "skip_generation": True},
    "p2bot/kv_profile_memory": {"embedding_size": 16, "kv_memories": 10},
}
NOT_THEIRS = dict.fromkeys(
    ("backbone", "n_layers", "n_heads", "embedding_size", "n_positions", "text_truncate")
)
GENERATORS = ["p2bot/seq2seq", "p2bot/profile_memory"]


def train(model, data, path, **changes):
    given = {**NOT_THEIRS, "vocab_size": 300, "model": model, **SMALL[model], **changes}
    return tiny.train(data, path, **given)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, convai2):
    """Model name -> path of one that was trained for some updates; made when asked for."""
    folder, made = tmp_path_factory.mktemp("baselines"), {}

    def path(model: str) -> str:
        if model not in made:
            made[model] = str(folder / model.replace("/", "_"))
            train(model, convai2, made[model], max_train_steps=12, learningrate=0.02, seed=3)
        return made[model]

    return path


@pytest.mark.parametrize("model", SMALL)
def test_training_changes_every_weight(model, trained, convai2, tmp_path):
    train(model, convai2, tmp_path / "model", max_train_steps=1, learningrate=1e-9, seed=3)
    before = read_model_file(str(tmp_path / "model"))["model"]
    after = read_model_file(trained(model))["model"]
    assert before.keys() == after.keys()
    learnt = {name: weight for name, weight in before.items() if weight.is_floating_point()}
    for name, weight in learnt.items():  # the word weights are counted, not learnt
        assert torch.equal(weight, after[name]) == name.endswith("weights"), name


@pytest.mark.parametrize("model", SMALL)
def test_a_stopped_run_goes_on(model, convai2, tmp_path):
    path = tmp_path / "model"
    often = {"save_every_n_secs": 0.001, "learningrate": 0.02}
    updates = []
    for steps in (3, 6):
        train(model, convai2, path, max_train_steps=steps, **often)
        found = read_model_file(f"{path}.checkpoint")
        assert found["p2bot"]["run"]["workers"]  # random states and the place in the data
        updates.append(found["number_training_updates"])
    assert updates[0] >= 2 and updates[1] >= 5


@pytest.mark.parametrize("model", GENERATORS)
def test_a_batch_answers_as_one_by_one(model, trained):
    bot = create_agent_from_model_file(trained(model), tiny.QUIET)
    texts = [PERSONA + text for text in ("hi", "what do you eat ?", "do you own a pet ?")]
    together = ask_together(bot, [{"text": text} for text in texts])
    assert [reply["text"] for reply in together] == [ask(bot, text)["text"] for text in texts]


@pytest.mark.parametrize("model", GENERATORS)
def test_nothing_to_rank_and_nothing_said_are_answered(model, trained):
    """ParlAI's own generators end in a TypeError where there is nothing to rank."""
    bot = create_agent_from_model_file(trained(model), {**tiny.QUIET, "rank_candidates": True})
    for text in (PERSONA + "hello", "__SILENCE__"):
        assert isinstance(ask(bot, text)["text"], str)


@pytest.mark.parametrize("model", SMALL)
def test_a_long_history_loses_old_turns_and_never_the_persona(model, trained):
    bot = create_agent_from_model_file(trained(model), {**tiny.QUIET, "text_truncate": 60})
    for turn in range(12):
        text = f"what did you do on day {turn} ?"
        seen = bot.observe(
            Message({"text": PERSONA + text if turn == 0 else text, "episode_done": False})
        )
        bot.self_observe({"text": "i had soup ."})
    ends = bot.dict.p2bot.eos
    shown = bot.dict.vec2txt([i for i in seen["text_vec"].tolist() if i != ends])
    profile = [bot.dict.vec2txt(ids) for ids in seen.get("profile_vecs", [])]
    assert "Bern" in " ".join([shown, *profile]) and "day 0" not in shown and "day 11" in shown
    assert len(seen["text_vec"]) <= 60


def test_the_pairs_are_a_uniform_draw_that_is_saved_and_can_be_left_out(trained, convai2):
    path = trained("p2bot/kv_profile_memory")
    saved = read_model_file(path)["p2bot"]["memories"]
    assert len(saved["pairs"]) == 10 and saved["seen"] == 12 * 4
    bot = create_agent_from_model_file(path, tiny.QUIET)
    assert bot.memory["pairs"] == saved["pairs"]
    without = create_agent_from_model_file(path, {**tiny.QUIET, "kv_memories": 0})
    question = {"text": PERSONA + "hi", "label_candidates": ["i ski .", "my home is in Bern ."]}
    found, others = (ask(agent, **question) for agent in (bot, without))
    assert found["text_candidates"] and found["text"] != others["text"]


def test_it_ranks_the_candidates_and_says_what_it_remembers(trained):
    bot = create_agent_from_model_file(trained("p2bot/kv_profile_memory"), tiny.QUIET)
    offered = ["i drive to the moon .", "hi , my home is in Bern ."]
    reply = ask(bot, PERSONA + "where do you live ?", label_candidates=offered)
    assert sorted(reply["text_candidates"]) == sorted(offered)
    remembered = [bot.dict.vec2txt(response) for _, response in bot.memory["pairs"]]
    assert reply["text"] in remembered and reply["text"] not in offered


def test_wrong_files_and_flags_are_named(trained, tmp_path, convai2, tiny_model):
    path = trained("p2bot/profile_memory")
    with pytest.raises(P2botError, match="--hidden-size 8 contradicts"):
        create_agent_from_model_file(path, {**tiny.QUIET, "hidden_size": 8})
    with pytest.raises(P2botError, match="--kv-memories -1 is not at least 0"):
        create_agent_from_model_file(trained("p2bot/kv_profile_memory"), {"kv_memories": -1})
    other = trained("p2bot/kv_profile_memory")
    with pytest.raises(P2botError, match="was not saved by --model ProfileMemoryAgent"):
        train("p2bot/profile_memory", convai2, tmp_path / "a", init_model=other)
    with pytest.raises(P2botError, match="has no token counts"):
        train("p2bot/profile_memory", convai2, tmp_path / "b", dict_file=f"{tiny_model}.dict")


def test_the_profile_sentences_are_shuffled_in_training_alone(trained):
    text = "\n".join(f"your persona: sentence {i}." for i in range(30)) + "\nhello"
    dictionary = create_agent_from_model_file(trained("p2bot/kv_profile_memory"), tiny.QUIET).dict
    in_order = [f"sentence {i}." for i in range(30)]
    for field, shuffled in (("labels", True), ("eval_labels", False)):
        history = DialogueHistory({"shuffle_persona": True}, dict_agent=dictionary)
        history.update_history(Message({"text": text, field: ["hi"]}))
        first = list(history.dialogue.persona)
        assert (first != in_order) == shuffled and sorted(first) == sorted(in_order)
        history.add_reply("hi")
        history.update_history(Message({"text": "how are you ?", field: ["well"]}))
        assert history.dialogue.persona == first  # one order a dialogue
