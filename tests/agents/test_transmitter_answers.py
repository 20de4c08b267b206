"""The Transmitter as a ParlAI agent: metrics, decoding, ranking, odd input."""

import math

import naive
import pytest
import tiny
import torch
from asking import PERSONA, QUESTIONS, ask, ask_together
from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message
from tokenizers import Tokenizer

from p2bot_parlai.agents.stock_searches import tree_search
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context_style import CHATML


# ------------------------------------------------------------------- evaluation
def test_ppl_per_word_by_hand(bot):
    label = "i live in Antananarivo ."  # more than one token a word, whatever the tokenizer learnt
    reply = ask(bot, PERSONA + QUESTIONS[0], eval_labels=[label])
    tokens = len(bot.dict.txt2vec(label)) + 1  # [EOS]
    nll, words = reply["metrics"]["loss"].value() * tokens, 5 + 1  # five words and the end
    assert tokens != words
    assert reply["metrics"]["ppl_word"].value() == pytest.approx(math.exp(nll / words), rel=1e-5)


@pytest.mark.parametrize("model", ["tiny_model", "original_style_model"])
@pytest.mark.parametrize("inference", ["greedy", "beam"])
def test_batch_of_eight_is_eight_of_one_to_the_token(request, model, inference):
    override = {"inference": inference, "loglevel": "error", "label_truncate": 24}
    agent = create_agent_from_model_file(request.getfixturevalue(model), override)
    texts = [(PERSONA if i % 2 else "") + question for i, question in enumerate(QUESTIONS)]
    together = ask_together(agent, [{"text": text} for text in texts])
    assert [reply["text"] for reply in together] == [ask(agent, text)["text"] for text in texts]


def test_multinomial_samples_the_plain_softmax(tiny_model):
    """Frequencies of the first token follow p, within 5 sigma."""
    torch.manual_seed(0)
    agent = create_agent_from_model_file(tiny_model, {"inference": "multinomial"})
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0]).repeat(4000, 1)
    search = tree_search(agent.opt, 1, agent.dict, "cpu")
    assert search.k == len(agent.dict)
    search.k = 4
    picked = search.select_paths(torch.log_softmax(logits, -1), torch.zeros(1), 0).token_ids
    expected = torch.softmax(logits[0], -1)
    counted = torch.bincount(picked, minlength=4) / len(picked)
    sigma = (expected * (1 - expected) / len(picked)).sqrt()
    assert ((counted - expected).abs() < 5 * sigma).all()


def test_beams_are_reranked_by_eq_3(tiny_model):
    """
    The reply is the finished hypothesis with the best Eq. 3, scored one by one. Strong random
    heads make sure that it is not always the likeliest, else no re-ranking would pass too.
    """
    agent = create_agent_from_model_file(tiny_model, {"beam_size": 4, "loglevel": "error"})
    agent.model.eval()
    embedding = agent.network.backbone.tokens_embed.weight.data
    word = agent.dict.txt2vec(ask(agent, QUESTIONS[0])["text"])[0]
    embedding[agent.END_IDX] = embedding[word]  # many hypotheses end
    torch.manual_seed(0)
    head, reordered = 100 * torch.randn(1, 16), 0
    for question in [q for q in QUESTIONS for _sign in (1, -1)]:
        head = -head
        agent.network.next_utterance.weight.data = head
        agent.observe(Message({"text": PERSONA + question, "episode_done": True}))
        batch = agent.batchify([agent.observation])
        with torch.no_grad():
            ids = batch.text_vec
            states = agent.network.encode_context(ids, ids != agent.NULL_IDX)
            _, (found,) = agent.responder.respond(states, ids, [[]])
            finished = [one.tokens[1:].tolist() for one in found]
            by_hand = [
                agent.responder.score(states, [[response]], "both")[0].item()
                for response in finished
            ]
        best = finished[by_hand.index(max(by_hand))]
        assert agent.act()["text"] == agent.dict.vec2txt(best)
        reordered += best != finished[0]
    assert reordered


# ---------------------------------------------------------------------- ranking
CANDIDATES = ["i live in Bern .", "yes , i take care of a cat .", "my home is in Lima , hi there ."]


@pytest.mark.parametrize("model", ["tiny_model", "original_style_model"])
@pytest.mark.parametrize(
    ("rank_by", "weight"),
    [
        ("next-utterance", 0),
        ("likelihood", 0),
        ("both", 0),
        ("mutual-information", 0),
        ("both", 0.05),
    ],
)
def test_ranking_shares_the_context_and_is_the_same_as_one_by_one(request, model, rank_by, weight):
    override = {"rank_by": rank_by, "mutual_information": weight, "loglevel": "error"}
    agent = create_agent_from_model_file(request.getfixturevalue(model), override)
    reply = ask(agent, PERSONA + QUESTIONS[0], label_candidates=CANDIDATES)
    tokens, context = agent.dict.p2bot, agent.clone()
    context.observe(Message({"text": PERSONA + QUESTIONS[0], "episode_done": True}))
    before = context.observation["text_vec"].tolist()
    scores = {}
    for text in CANDIDATES:
        response = agent.response_ids(text, 24)
        with torch.no_grad():
            behind = naive.log_p(agent.network, [*before, tokens.self_], response)
            alone = naive.log_p(agent.network, [tokens.self_], response).sum().item()
            score = naive.next_score(agent.network, tokens, before, response)
        mean, information = behind.mean().item(), behind.sum().item() - alone
        log_next = score.sigmoid().log().item()
        both = 0.1 * mean + 0.9 * log_next + weight * information
        found = {"next-utterance": log_next, "likelihood": mean, "both": both}
        scores[text] = {**found, "mutual-information": information}[rank_by]
    assert reply["text_candidates"] == sorted(CANDIDATES, key=scores.get, reverse=True)
    assert reply["cand_scores"] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-5)


def test_a_head_that_nobody_trained_does_not_rank(convai2, tmp_path):
    """Neither the random one of pretrained weights, nor one that a training has left out."""
    tiny.train(convai2, tmp_path / "saved", nup_coef=0, max_train_steps=1, skip_generation=True)
    base = {**tiny.PRETRAINED, "backbone": tiny.save_backbone(tmp_path / "base")}
    for given in ({}, {"rank_by": "mutual-information"}):
        override = {"loglevel": "error", **given}
        saved = create_agent_from_model_file(str(tmp_path / "saved"), override)
        new = tiny.agent(convai2, tmp_path / "new", datatype="valid", **base, **given)
        for agent in (saved, new):
            found = (agent.opt["alpha"], agent.opt["rank_by"])
            assert found == (1.0, given.get("rank_by", "likelihood"))
    for way in ("next-utterance", "both"):
        with pytest.raises(P2botError, match=f"--rank-by {way} asks for a next-utterance head"):
            create_agent_from_model_file(str(tmp_path / "saved"), {"rank_by": way})


def test_an_instruct_model_ranks_and_answers_without_training(convai2, tmp_path):
    """In its own form; ppl is over the same tokens as in ours, and the end of a response."""
    base = tiny.save_backbone(tmp_path / "base")
    given = {**tiny.MODEL, **tiny.PRETRAINED, "backbone": base, "text_truncate": 228}
    given |= {"task": "convai2:none", "num_examples": 4}  # a tiny tokenizer has long personas
    given = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(P2botError, match="--context-style chatml is for instruct models"):
        tiny.evaluate(convai2, **given, context_style="chatml")
    tokenizer = Tokenizer.from_file(f"{base}/tokenizer.json")
    tokenizer.add_special_tokens(list(CHATML.special_tokens))
    tokenizer.save(f"{base}/tokenizer.json")
    report = tiny.evaluate(convai2, **given, context_style="chatml", rank_by="mutual-information")
    assert report["exs"] == 4 and 0 <= report["hits@1"] <= 1 and "f1" in report
    ours = tiny.evaluate(convai2, **given, skip_generation=True)
    assert report["ltpb"] == ours["ltpb"]


@pytest.mark.parametrize(
    "candidates", [["only one ."], ["twice .", "twice .", "other ."], ["", "not empty ."], [""]]
)
def test_odd_lists_of_candidates_are_ranked(bot, candidates):
    reply = ask(bot, QUESTIONS[0], label_candidates=candidates)
    assert sorted(reply["text_candidates"]) == sorted(candidates)


# ------------------------------------------------------------------- odd input
@pytest.mark.parametrize(
    "text",
    [
        "",
        "word " * 2_000,
        "\ud83d \x00",
        "[PS] [SELF] [EOS]",
        "your persona: ",
        "__SILENCE__",
        PERSONA,
    ],
)
def test_odd_text_gets_an_answer(bot, text):
    assert isinstance(ask(bot, text)["text"], str)


def test_a_persona_longer_than_the_window_is_named(bot):
    with pytest.raises(P2botError, match="persona takes .* shorten it; this model can read 230"):
        ask(bot, "your persona: " + "i eat soup . " * 200 + "\nhello")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"alpha": 1.5}, "--alpha 1.5 is not between 0 and 1"),
        ({"nup_coef": -1}, "--nup-coef -1.* is not at least 0"),
        ({"embedding_size": 15}, "--embedding-size 15 is not a multiple of --n-heads 2"),
        ({"text_truncate": 1}, "--text-truncate must be at least 2"),
        ({"temperature": 0.0}, "--temperature 0.0 is not above 0"),
        ({"mutual_information": math.nan}, "--mutual-information nan is not finite"),
        ({"person_tokens": True}, "--person-tokens does not apply"),
        ({"n_positions": 64}, "--text-truncate 128 and --label-truncate 24 need 154 positions"),
        ({"tokenizer": "no/such/folder"}, "--tokenizer no/such/folder: there is no such folder"),
    ],
)
def test_flags_that_cannot_work_are_named(convai2, tmp_path, changes, message):
    with pytest.raises(P2botError, match=message):
        tiny.train(convai2, tmp_path / "model", **changes)


def test_more_candidates_than_fit_one_row_are_ranked_as_one_by_one(bot):
    candidates = [f"i eat {'soup ' * (n % 5)}number {n} ." for n in range(70)]
    together = ask(bot, QUESTIONS[0], label_candidates=candidates)
    alone = {
        text: ask(bot, QUESTIONS[0], label_candidates=[text])["cand_scores"][0]
        for text in candidates[::7]
    }
    scores = dict(zip(together["text_candidates"], together["cand_scores"], strict=True))
    assert len(scores) == 70
    for text, score in alone.items():
        assert scores[text] == pytest.approx(score, abs=1e-5)


def test_ranking_within_a_budget_of_tokens_is_the_same(bot, monkeypatch):
    """In pieces of at most so many, padding included, also where a message has no candidates."""
    offered = [
        [f"i eat {'soup ' * (i + n % 5)}." for n in range(2 + 20 * (i == 1))] for i in (0, 1, 2)
    ]
    messages = [
        {"text": QUESTIONS[0], "label_candidates": candidates} for candidates in [*offered, []]
    ]
    plain = ask_together(bot, messages)
    read, computed = bot.network.read, []
    monkeypatch.setattr(
        bot.network, "read", lambda rows, s: computed.append(rows.inputs.shape) or read(rows, s)
    )
    monkeypatch.setattr(bot.responder, "budget", 60)
    for one, other in zip(ask_together(bot, messages), plain, strict=True):
        assert one.get("text_candidates") == other.get("text_candidates")
        if "cand_scores" in other:
            assert one["cand_scores"] == pytest.approx(other["cand_scores"], abs=1e-5)
    ranked = [shape for shape in computed if shape.numel() > 60]
    assert len(computed) > 2 and all(len(shape) == 2 and shape[0] == 1 for shape in ranked)


@pytest.mark.parametrize("dynamic", [{}, {"dynamic_batching": "full"}], ids=str)
def test_batches_do_not_change_the_metrics(convai2, tiny_model, dynamic):
    one = tiny.evaluate(convai2, tiny_model, batchsize=1)
    eight = tiny.evaluate(convai2, tiny_model, batchsize=8, **dynamic)
    for name in ("exs", "hits@1", "ppl", "ppl_word", "f1", "bleu-4", "nup_loss", "token_acc"):
        assert one[name] == pytest.approx(eight[name], rel=1e-5, abs=1e-4), name


def test_a_response_that_is_cut_still_ends_in_the_original_form(original_style_model):
    agent = create_agent_from_model_file(original_style_model, tiny.QUIET)
    label = "i live in Bern and i eat soup every day of my life , and so do all of us here now"
    message = {"text": "hi", "eval_labels": [label], "episode_done": True}
    ids = agent.observe(Message(message))["eval_labels_vec"].tolist()
    assert len(ids) == 24 and ids[-1] == agent.END_IDX
    assert ids[:-1] == agent.dict.p2bot.encode(label.lower())[:23]


def test_words_of_a_cut_label_are_those_that_were_kept(bot):
    label = "soup " * 100
    kept = bot.dict.txt2vec(label)[:24]
    metrics = ask(bot, QUESTIONS[1], eval_labels=[label])["metrics"]
    words = len(bot.dict.vec2txt(kept).split())
    nll = metrics["loss"].value() * 24
    assert metrics["ppl_word"].value() == pytest.approx(math.exp(nll / words), rel=1e-4)


def test_rows_without_a_label_have_no_losses(bot):
    labels = (["i eat soup ."], [])
    first, second = ask_together(bot, [{"text": "hi", "eval_labels": own} for own in labels])
    assert first["metrics"]["ppl"].value() == pytest.approx(
        ask(bot, "hi", eval_labels=["i eat soup ."])["metrics"]["ppl"].value(), rel=1e-4
    )
    assert second["metrics"]["loss"] is None and isinstance(second["text"], str)


def test_history_size_counts_utterances_and_keeps_the_persona(tiny_model):
    agent = create_agent_from_model_file(tiny_model, {"history_size": 1, "loglevel": "error"})
    agent.observe(Message({"text": PERSONA + QUESTIONS[0], "episode_done": False}))
    agent.act()
    agent.observe(Message({"text": QUESTIONS[1], "episode_done": False}))
    text = agent.dict.p2bot.backend.decode(agent.observation["text_vec"].tolist())
    assert "soup" in text and "what do you eat" in text and "hello" not in text
