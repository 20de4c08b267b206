"""Self-play runs as a user starts them: how they are validated, resumed, evaluated."""

import shutil
import struct

import naive
import people
import pytest
import tiny
import torch
import transformers
from parlai.core.agents import create_agent_from_model_file
from parlai.scripts.train_model import setup_args
from parlai.utils import logging
from playing import agent_for, drift, opening, step
from tensorboardX.proto.event_pb2 import Event

from p2bot_parlai.agents.p2bot import P2botAgent
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.checksums import checksum
from p2bot_parlai.method.model_files import read_model_file
from p2bot_parlai.method.tokenizers import P2botTokenizer


def copy_model(path, to) -> str:
    for suffix in ("", ".dict", ".opt"):
        shutil.copy(path + suffix, f"{to}{suffix}")
    return str(to)


def test_it_is_validated_by_its_rewards(convai2, tmp_path, playing):
    """Also after training, when the best model is loaded and validation runs on its clones."""
    changes = {**playing, "evaltask": "p2bot:selfplay", "selfplay_dialogues": 5}
    changes |= {"validation_metric": "reward", "validation_metric_mode": "max"}
    valid, test = tiny.train(convai2, tmp_path / "model", **changes)
    assert {"reward", "coherence", "kl"} <= set(valid) & set(test)
    assert valid["exs"].value() == 5


def test_its_curves_are_in_tensorboard(convai2, tmp_path, playing):
    """``--tensorboard-log true``: what docs/selfplay.md says to watch."""
    changes = {"tensorboard_log": True, "log_every_n_steps": 1, "max_train_steps": 4}
    tiny.train(convai2, tmp_path / "model", **{**playing, **changes})
    (file,) = (tmp_path / "model.tensorboard").iterdir()
    seen = {value.tag for event in events(file) for value in event.summary.value}
    watched = "reward kl_sampled entropy length ended said_before distinct_2 gnorm"
    assert {f"{name}/train" for name in watched.split()} <= seen


def events(file):
    """Of a file of TensorBoard: length (8 bytes), its checksum (4), event, its checksum (4)."""
    content = file.read_bytes()
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        yield Event.FromString(content[12 : 12 + size])
        content = content[16 + size :]


@pytest.mark.parametrize("metric", ["distinct_2", "persona_turn3", "weighted_style", "covered"])
def test_what_validation_reports_can_be_its_metric(convai2, tmp_path, playing, metric):
    own = {**playing, "evaltask": "p2bot:selfplay", "lambda_coverage": 1.0}
    given = tiny.options(convai2, tmp_path / "model", **own, validation_metric=metric)
    P2botAgent.check_training(setup_args().parse_kwargs(**given))


def test_a_diverged_agent_stops_the_run(convai2, tmp_path, playing):
    """The frozen models find a reward for whatever it says, so no reward would show it."""
    agent = agent_for(convai2, tmp_path / "new" / "folder" / "model", playing)
    with torch.no_grad():
        agent.network.backbone.tokens_embed.weight.fill_(torch.nan)
    with pytest.raises(P2botError, match="probabilities of the agent"):
        step(agent, [1, 2, 3])


def test_a_reward_of_one_response_is_refused(convai2, tmp_path, playing):
    changes = {"batchsize": 1, "selfplay_turns": 1}
    with pytest.raises(P2botError, match="nothing to learn from.*--rl-baseline leave-one-out"):
        tiny.train(convai2, tmp_path / "model", **{**playing, **changes})


def test_models_of_the_zoo(convai2, tmp_path, playing):
    """ParlAI finds zoo: names of --model-file by itself; those of our options are ours to find."""
    data, zoo = tmp_path / "data", tmp_path / "data" / "models" / "p2bot"
    shutil.copytree(convai2, data)
    for name in ("init_model", "receiver"):
        (zoo / name).mkdir(parents=True)
        copy_model(playing[name], zoo / name / "model")
    names = {name: f"zoo:p2bot/{name}/model" for name in ("init_model", "receiver")}
    tiny.train(data, tmp_path / "model", **{**playing, **names})
    saved = read_model_file(tmp_path / "model")["p2bot"]["selfplay"]
    assert saved["user"]["path"] == str(zoo / "init_model" / "model")
    assert saved["Receiver"]["path"] == str(zoo / "receiver" / "model")


def test_evaluation_finds_a_user_that_was_moved(convai2, tmp_path, playing):
    """By the flag that the message names."""
    user, path = copy_model(playing["init_model"], tmp_path / "user"), tmp_path / "model"
    tiny.train(convai2, path, **{**playing, "init_model": user})
    (tmp_path / "user").rename(tmp_path / "moved")
    given = {"task": "p2bot:selfplay", "selfplay_dialogues": 2}
    with pytest.raises(P2botError, match="is gone: name it by --init-model"):
        tiny.evaluate(convai2, path, **given)
    report = tiny.evaluate(convai2, path, init_model=str(tmp_path / "moved"), **given)
    assert report["kl"] > 0


def test_self_play_after_self_play_has_a_user_of_its_own(convai2, tmp_path, playing):
    """The model that the second run begins with, not the user of the first."""
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    tiny.train(convai2, first, **playing)
    tiny.train(convai2, second, **{**playing, "init_model": first})
    saved = read_model_file(second)["p2bot"]["selfplay"]
    assert saved["user"] == {"path": first, "sha256": checksum(first)}


def test_the_kl_divergence_is_of_the_agent_from_the_user(convai2, tmp_path, playing):
    """Turn by turn and token by token, of a step that does nothing but report it."""
    agent = agent_for(convai2, tmp_path / "model", {**playing, "selfplay_turns": 2})
    drift(agent)
    judged = agent.play([opening(1), opening(2), opening(3)])
    found = agent.reread(judged, "value").kl
    for turn, divergence in zip(judged.rollouts.by_dialogue(), found, strict=True):
        ids = [*turn.context, agent.dict.p2bot.self_, *turn.response[:-1]]
        p, q = (
            network.output(naive.read(network.backbone, ids)[len(turn.context) :]).softmax(dim=-1)
            for network in (agent.network, agent.selfplay.world.user)
        )
        expected = (p * (p.log() - q.log())).sum()
        torch.testing.assert_close(divergence.detach(), expected.detach(), atol=1e-4, rtol=1e-4)
    # each reply reports its own dialogue's
    reported = [reply["metrics"]["kl"].value() for reply in step(agent, [1, 2, 3])]
    assert reported == pytest.approx(found.view(3, 2).mean(dim=1).tolist(), rel=1e-4)


@pytest.mark.parametrize("rl_baseline", ["mean", "leave-one-out"])
def test_the_step_is_the_mean_over_responses(convai2, tmp_path, playing, rl_baseline):
    """By the definition, with both weights of the loss."""
    options = {**playing, "optimizer": "sgd", "gradient_clip": -1, "learningrate": 0.1}
    options |= {"rl_coef": 3.0, "kl_coef": 0.5, "lr_scheduler": "none", "rl_baseline": rl_baseline}
    agent = agent_for(convai2, tmp_path / "model", options)
    drift(agent)
    judged = agent.play([opening(1), opening(2), opening(3)])
    log_p, _, divergence = agent.reread(judged, "gradient")
    rewards = judged.total.flatten()
    others = (rewards.sum() - rewards) / 8
    baseline = rewards.mean() if rl_baseline == "mean" else others
    loss = (-(rewards - baseline) * log_p + 0.5 * divergence).sum() / 9
    weight = agent.network.backbone.tokens_embed.weight
    (gradient,) = torch.autograd.grad(loss, weight)
    before = weight.detach().clone()
    step(agent, [1, 2, 3])
    torch.testing.assert_close(weight.detach(), before - 0.1 * 3.0 * gradient, atol=1e-6, rtol=1e-3)


def test_updates_are_shown_once(convai2, tmp_path, playing, monkeypatch):
    """Also where an update takes several batches."""
    said = []
    monkeypatch.setattr(logging, "info", lambda text: said.append(str(text)))
    options = {**playing, "update_freq": 2, "show_dialogue_every": 2, "lr_scheduler": "none"}
    agent = agent_for(convai2, tmp_path / "model", options)
    for number in range(8):
        step(agent, [number, 10 + number])
    assert sum("persona of the agent:" in text for text in said) == 2


# ------------------------------------------------------- a pretrained language model
@pytest.fixture
def pretrained(tmp_path) -> str:
    """A folder in Hugging Face form: a tiny Llama with random weights and its tokenizer."""
    folder = tmp_path / "llama"
    backend = P2botTokenizer.train(["i own a cat and two dogs", "i eat rice"], 350).backend
    save_llama(folder, backend.get_vocab_size(), seed=0)
    backend.save(str(folder / "tokenizer.json"))
    return str(folder)


def save_llama(folder, vocabulary: int, seed: int) -> None:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "max_position_embeddings": 256}
    config = transformers.LlamaConfig(vocab_size=vocabulary, bos_token_id=0, **sizes)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)


SHAPES = ("vocab_size", "n_layers", "n_heads", "embedding_size", "n_positions")


def test_the_pretrained_backbone_judges_style(convai2, tmp_path, playing, pretrained):
    """
    With the weights that it had before any training, behind its beginning-of-text token;
    and a resumed run makes sure that they are the same.
    """
    start, path = str(tmp_path / "start"), str(tmp_path / "model")
    shape = dict.fromkeys(SHAPES)
    tiny.train(convai2, start, backbone=pretrained, max_train_steps=2, **shape)
    options = {**playing, "init_model": start}
    tiny.train(convai2, path, **options)
    noted = read_model_file(path)["p2bot"]["selfplay"]["language model"]
    assert noted["path"] == pretrained

    agent = agent_for(convai2, path, options)
    (style,) = (r for r in agent.selfplay.world.rewards if r.name == "style")
    ids = agent.dict.p2bot.encode("i own a cat and two dogs")
    lm = transformers.AutoModelForCausalLM.from_pretrained(pretrained).eval()
    with torch.no_grad():
        log_p = lm(torch.tensor([[0, *ids]])).logits[0].log_softmax(dim=-1)
    expected = sum(log_p[place, token] for place, token in enumerate(ids)) / len(ids)
    # among others of other lengths
    found = style.score([ids[:3], ids, []])
    torch.testing.assert_close(found[1], expected, atol=1e-5, rtol=0)

    save_llama(pretrained, lm.config.vocab_size, seed=1)
    with pytest.raises(P2botError, match="not the language model that this self-play run began"):
        agent_for(convai2, path, options)
    shutil.rmtree(pretrained)
    with pytest.raises(P2botError, match="--language-model"):
        agent_for(convai2, path, options)


def test_the_defaults_are_the_paper_s(convai2):
    """Section 5.1; 32 tokens a response, section 3.2."""
    opt = setup_args().parse_kwargs(model="p2bot", task="p2bot:selfplay", datapath=convai2)
    assert [opt[f"lambda_{name}"] for name in ("style", "coherence", "persona")] == [0.4, 0.1, 0.5]
    assert (opt["gamma"], opt["selfplay_turns"], opt["selfplay_dialogues"]) == (0.5, 3, 2000)
    assert (opt["learningrate"], opt["label_truncate"], opt["beam_size"]) == (1e-6, 32, 2)
    # beyond the paper
    assert opt["lambda_repetition"] == opt["kl_coef"] == 0 and opt["rl_baseline"] == "mean"
    assert opt["rollouts_per_opening"] == opt["selfplay_epochs"] == 1
    assert opt["lr_scheduler"] == "none"
    # supervised training that is only validated on self-play
    tasks = {"task": "convai2", "evaltask": "p2bot:selfplay"}
    supervised = setup_args().parse_kwargs(model="p2bot", datapath=convai2, **tasks)
    assert (supervised["learningrate"], supervised["lr_scheduler"]) == (6.25e-5, "linear")


def test_rewards_are_as_the_options_say(convai2, tmp_path, playing):
    agent = agent_for(convai2, tmp_path / "model", {**playing, "gamma": 0.25, "lambda_style": 0.3})
    style, coherence, persona = agent.selfplay.world.rewards
    assert agent.selfplay.world.weights == {"style": 0.3, "coherence": 0.1, "persona": 0.5}
    assert persona.gamma == 0.25
    # trained from scratch: its own supervised model is the language model, with no context
    assert style.backbone is agent.selfplay.world.user.backbone
    assert style.prefix == [agent.dict.p2bot.self_]
    assert coherence.reading.network is agent.selfplay.world.user


def test_another_receiver_may_judge_in_evaluation(convai2, tmp_path, playing):
    path = str(tmp_path / "model")
    tiny.train(convai2, path, **playing)
    people.train(people.write_people(tmp_path / "data"), tmp_path / "other", seed=7)
    given = {"task": "p2bot:selfplay", "selfplay_dialogues": 4}
    first = tiny.evaluate(convai2, path, **given)
    other = tiny.evaluate(convai2, path, receiver=str(tmp_path / "other"), **given)
    assert other["style"] == pytest.approx(first["style"])
    assert other["perception"] != pytest.approx(first["perception"])
    # where ParlAI leaves the datatype of training in the options
    given = {"receiver": str(tmp_path / "other"), "loglevel": "error"}
    agent = create_agent_from_model_file(path, given)
    assert agent.opt["datatype"] == "train" and agent.selfplay.world
    with pytest.raises(P2botError, match="is not the Receiver"):
        tiny.train(convai2, path, **{**playing, "receiver": str(tmp_path / "other")})
