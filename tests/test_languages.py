"""Chinese and German from the imported file to a chat, and what counts as a word there."""

import languages
import people
import pytest
import tiny
from parlai.core.message import Message
from parlai.core.params import ParlaiParser
from parlai.core.teachers import create_task_agent_from_taskname
from parlai.utils import logging, misc

from p2bot_parlai import P2Bot
from p2bot_parlai.agents.ir_perception import fitted
from p2bot_parlai.method.guards import distinct
from p2bot_parlai.method.personas import sentence_key
from p2bot_parlai.method.rewards import repetition
from p2bot_parlai.method.spelling import Spelling, show
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.method.words import tokens, unicode_words
from p2bot_parlai.metrics.persona_metrics import persona_f1
from p2bot_parlai.parlai_support.words import words_of
from p2bot_parlai.parlai_support.world_logs import read_world_logs
from p2bot_parlai.scripts.import_dialogues import ImportDialogues


# ----------------------------------------------------------------------------------- words
@pytest.mark.parametrize(
    "text, expected",
    [
        ("我喜欢吃苹果。", list("我喜欢吃苹果")),
        ("Ich gehe an 3,5 Straßen!", ["ich", "gehe", "an", "3,5", "straßen"]),
        ("¿Cómo estás? Cafe\u0301", ["cómo", "estás", "café"]),
        ("コーヒーが 好き", ["コーヒー", "が", "好", "き"]),
        ("can't :) 👍", ["can't", "👍"]),
        ("。！", []),
    ],
)
def test_words_by_unicode(text, expected):
    assert unicode_words(text) == expected


def test_tokens_between_spaces_are_as_ever_and_chinese_characters_apart():
    english = "hi , i'm a  nurse.\nwho are you ?"
    assert tokens(english) == english.split()
    assert tokens("我喜欢 tea。") == ["我", "喜", "欢", "tea。"]
    assert tokens("สวัสดี") == ["ส", "วั", "ส", "ดี"]


def test_what_repeats_itself_is_seen_without_spaces():
    # 我喝 喝茶 茶我 我喝 喝茶: three different pairs of five
    assert distinct(["我喝茶我喝茶"]) == pytest.approx(3 / 5)
    assert repetition(tokens("我家在北京"), [tokens("我家在上海")]) == pytest.approx(-1 / 3)


def test_persona_f1_has_stop_words_in_english_alone():
    split = words_of("other")[1]
    # 我 家 在 against 我 住 在 北 京
    assert persona_f1("我家在。", ["我住在北京。"], split) == pytest.approx(2 * 2 / (3 + 5))
    assert persona_f1("the", ["the"], words_of("en")[1]) == 0


def test_keys_of_sentences_keep_letters_and_expand_english_alone():
    assert sentence_key("दिन।") == "दिन" != sentence_key("दीन।")
    assert sentence_key("Il re m ve dorme!") == "il re m ve dorme"
    assert sentence_key("我住在北京。") == sentence_key("我住在北京")


def test_spanish_sentences_begin_with_capitals():
    shown = show("hola . ¿cómo estás ? ¡bien !", Spelling(lower=True, spaced=".,?!", runs="apart"))
    assert shown == "Hola. ¿Cómo estás? ¡Bien!"


def test_no_character_is_unknown_to_a_tokenizer_learnt_from_another_language():
    tokenizer = P2botTokenizer.train(["only english here"], 400)
    for text in ("我喜欢吃苹果。", "Grüß Gott, Straße!", "สวัสดี", "👍🏽"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_tf_idf_matches_chinese():
    personas = ("我每天吃米饭。", "我住在北京。")
    vectorizer = fitted(personas)
    common = vectorizer.transform(personas) @ vectorizer.transform(["北京很大"]).T
    assert common[0, 0] == 0 < common[1, 0]


# ------------------------------------------------------------------------------ F1 and BLEU
def metrics_of(tmp_path, label: str, reply: str, language: str) -> dict[str, float]:
    path = tmp_path / "own.txt"
    path.write_text(f"1 your persona: x.\n2 hi\t{label}\n", encoding="utf-8")
    opt = ParlaiParser(True, False).parse_kwargs(
        task="fromfile:fbformat", fromfile_datapath=str(path), datatype="valid"
    )
    teacher = create_task_agent_from_taskname({**opt, "metric_language": language})[0]
    teacher.act()
    teacher.observe(Message(text=reply))
    return {name: metric.value() for name, metric in teacher.report().items()}


def test_f1_and_bleu_of_chinese_by_hand(tmp_path):
    found = metrics_of(tmp_path, "我家在北京。", "我家在上海！", "other")
    assert found["f1"] == pytest.approx(3 / 5)  # 我 家 在 of five each
    # 3 of 5 characters, 2 of 4 pairs, 1 of 3 triples, none of 2 quadruples (ParlAI's epsilon)
    expected = (3 / 5 * 2 / 4 * 1 / 3 * 1e-12 / 2) ** (1 / 4)
    assert found["bleu-4"] == pytest.approx(expected)
    assert metrics_of(tmp_path, "我家在北京。", "我家在北京", "other")["accuracy"] == 1


def test_english_articles_are_words_of_german(tmp_path):
    pair = ("Ich bin an der See", "Ich bin der See")
    assert metrics_of(tmp_path, *pair, "en")["f1"] == pytest.approx(1, abs=1e-9)
    assert metrics_of(tmp_path, *pair, "other")["f1"] == pytest.approx(2 * 4 / 9)


def test_the_wrong_language_is_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", said.append)
    monkeypatch.setattr(misc, "_seen_logs", set())
    assert metrics_of(tmp_path, "我家在北京。", "我家在上海。", "en")["f1"] == 0
    assert metrics_of(tmp_path, "at home", "at home", "en")["f1"] == 1
    assert len(said) == 1 and "--metric-language other" in said[0]


# ------------------------------------------------------------------------------ end to end
FILES = {
    "chinese": (languages.as_chat, languages.CHINESE),
    "german": (languages.as_synthetic, languages.GERMAN),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_from_the_imported_file_to_a_chat(tmp_path, name):
    form, language = FILES[name]
    source = tmp_path / "theirs"
    source.write_text(form(language), encoding="utf-8")
    file = ImportDialogues.main(str(source), "--outfile", str(tmp_path / "own.txt"))[0]
    data = {"fromfile_datapath": file}
    model, receiver = tmp_path / "model", tmp_path / "receiver"
    spoken = {"metric_language": "other", "text_truncate": 256, "label_truncate": 100}
    sizes = {"embedding_size": 32, "n_positions": 400, "dropout": 0.0}
    tiny.train(
        tmp_path, model, task="fromfile:fbformat", **data, **sizes, **spoken,
        max_train_steps=120, learningrate=1e-2, batchsize=8, seed=1, skip_generation=True,
    )  # fmt: skip
    dump = tmp_path / "dump.jsonl"
    report = tiny.evaluate(
        tmp_path, model, task="fromfile:fbformat", **data, persona_metrics=True,
        world_logs=str(dump), rank_by="likelihood",
    )  # fmt: skip
    # learnt by heart, of who and what is asked
    assert report["ppl"] < 2 and report["hits@1"] > 0.4
    assert 0.5 < report["f1"] <= 1 and report["persona_f1"] > 0 and report["response_len"] > 3
    counted = [example.ngrams[1] for example in read_world_logs(str(dump))]
    pooled = sum(counted[1:], start=counted[0])
    assert report["distinct-1"] == pytest.approx(len(pooled) / pooled.total(), rel=1e-3)

    task = f"{people.TASK}:fromfile:fbformat"
    given = {"task": task, **data, "distractors": 2, "hard_candidates": 3, "seed": 1}
    people.train(tmp_path, receiver, **given)
    report, _ = tiny.train(
        tmp_path, tmp_path / "played", task="p2bot:selfplay:fromfile:fbformat", **data,
        evaltask="fromfile:fbformat", init_model=str(model), receiver=str(receiver),
        selfplay_dialogues=2, batchsize=2, max_train_steps=2, skip_generation=True,
        **dict.fromkeys((*tiny.PRETRAINED, "backbone", "text_truncate", "label_truncate")),
    )  # fmt: skip
    assert float(report["ppl"]) < 10

    bot = P2Bot.load(tmp_path / "played", receiver=receiver, seed=1, rank_by="likelihood")
    persona, ((asked, answer), _) = languages.talks(language)[1]
    chat = bot.conversation(persona=persona)
    assert chat.rank(asked, [answer, "zzz"])[0].text == answer
    assert len(set(answer) & set(chat.reply(asked))) >= 4
    assert len(bot.perceive(answer, persona)) == 2
