"""--adapter lora: training, model files, self-play on one backbone."""

import json
import shutil
import subprocess
import sys

import pytest
import tiny
import torch
import transformers
from parlai.core.agents import create_agent_from_model_file
from parlai.utils import logging
from playing import agent_for, opening, step

from p2bot_parlai import P2Bot
from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.backbones import load_backbone
from p2bot_parlai.method.backbones.lora import adapters_in
from p2bot_parlai.method.backbones.quantised import Quantised
from p2bot_parlai.method.model_files import load_transmitter, read_model_file, read_tokenizer
from p2bot_parlai.method.reward_models import LanguageStyle
from p2bot_parlai.method.selfplay import reread
from p2bot_parlai.scripts.export_hf import ExportHf
from p2bot_parlai.scripts.merge_adapter import MergeAdapter
from p2bot_parlai.tools.web.rewards import ReplyRewards

SHORT = {"adapter_rank": 2, "max_train_steps": 4, "learningrate": 0.02, "seed": 3}
CHECKPOINTS = {"save_after_valid": True, "validation_every_n_steps": 2}


@pytest.fixture(scope="module")
def home(tmp_path_factory, convai2):
    """A folder with a backbone, and a model of adapters that was trained on it for a moment."""
    folder = tmp_path_factory.mktemp("adapters")
    given = {**tiny.PRETRAINED, **SHORT, "adapter": "lora"}
    given["backbone"] = tiny.save_backbone(folder / "base")
    tiny.train(convai2, folder / "model", **given, **CHECKPOINTS)
    return folder


def own_parameters(agent) -> dict:
    return {name: p for name, p in agent.network.named_parameters() if p.requires_grad}


def test_the_file_holds_adapters_head_and_rows_in_half_precision(home):
    states = read_model_file(home / "model")
    assert not states["optimizer"]["state"]
    kinds = {name.rsplit(".", 1)[-1] for name in states["model"] if "adapters" in name}
    assert kinds == {"lora_A", "lora_B", "rows"}
    assert all(weight.dtype == torch.bfloat16 for weight in states["model"].values())
    assert read_model_file(home / "model.checkpoint")["optimizer"]["state"]
    base = load_backbone(str(home / "base"))
    assert states["p2bot"]["backbone"]["base"]["vocabulary"] == base.vocabulary


def test_the_base_stays_and_every_other_weight_learns(convai2, home, tmp_path):
    given = {**tiny.PRETRAINED, **SHORT, "backbone": str(home / "base"), "adapter": "lora"}
    agent = tiny.agent(convai2, tmp_path / "model", **given)
    before = {name: p.clone() for name, p in agent.network.named_parameters()}
    text = "your persona: i own a cat.\nhello"
    for _ in range(3):
        seen = [
            agent.clone().observe(
                {"text": text, "labels": [said], "label_candidates": ["no .", said]}
                | {"episode_done": True}
            )
            for said in ("i own a cat .", "hi there !")
        ]
        agent.batch_act(seen)
    changed = {n for n, p in agent.network.named_parameters() if not torch.equal(p, before[n])}
    assert changed == set(own_parameters(agent))
    assert sum(p.numel() for p in own_parameters(agent).values()) < 0.5 * sum(
        p.numel() for p in agent.network.parameters()
    )


def test_a_run_that_was_stopped_goes_on(convai2, home, tmp_path):
    given = {**tiny.PRETRAINED, **SHORT, "backbone": str(home / "base"), "adapter": "lora"}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    given |= {"lr_scheduler": "none", **CHECKPOINTS}
    tiny.train(convai2, whole, **given)
    tiny.train(convai2, parts, **{**given, "max_train_steps": 2})
    tiny.train(convai2, parts, **given)
    one, two = (read_model_file(f"{path}.checkpoint")["model"] for path in (whole, parts))
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=1e-6, rtol=0)


def test_without_its_checkpoint_a_run_goes_on_with_new_averages_and_says_so(
    convai2, home, tmp_path, monkeypatch
):
    said: list[str] = []
    monkeypatch.setattr(logging, "warning", said.append)
    path = tmp_path / "model"
    given = {**tiny.PRETRAINED, **SHORT, "backbone": str(home / "base"), "adapter": "lora"}
    given |= {"lr_scheduler": "fixed", "lr_scheduler_patience": 1, "warmup_updates": 1}
    tiny.train(convai2, path, **given, validation_every_n_steps=1, validation_max_exs=2)
    assert not [line for line in said if "begin anew" in line]
    states = read_model_file(path)
    (group,) = states["optimizer"]["param_groups"]
    assert group["lr"] < given["learningrate"] / 1.9
    agent = tiny.agent(convai2, path, **given)
    agent.begin_training()
    assert [line for line in said if line.startswith(f"{path} holds rounded weights and no aver")]
    assert agent.optimizer.param_groups[0]["lr"] == group["lr"]
    assert agent.report()["total_train_updates"].value() == states["number_training_updates"] > 0


@pytest.fixture
def adapted_play(home, playing):
    return {**playing, "init_model": str(home / "model"), "adapter_rank": 3}


def test_update_0_of_self_play_is_the_user(convai2, tmp_path, adapted_play):
    agent = agent_for(convai2, tmp_path / "model", adapted_play)
    world = agent.selfplay.world
    assert world.user.backbone.network is agent.network.backbone.network
    ranks = [shape.rank for shape in agent.network.backbone.shapes]
    assert ranks == [2, 3] and len(world.user.backbone.shapes) == 1
    scored = world.score(world.play([opening(number) for number in range(3)]))
    with torch.no_grad():
        divergence = reread(agent.network, world.reading, scored.rollouts).kl
    assert divergence.abs().max() < 1e-5


def test_the_users_of_the_backbone_leave_its_checkpointing_on(convai2, tmp_path, adapted_play):
    agent = agent_for(convai2, tmp_path / "model", {**adapted_play, "gradient_checkpointing": True})
    assert agent.selfplay.world.user.backbone.network.gradient_checkpointing


def test_shared_is_the_same_as_copies(convai2, tmp_path, home, adapted_play):
    """The user and the style model as networks of their own, not roles of the agent's backbone."""
    options = {**adapted_play, "optimizer": "sgd", "learningrate": 1.0}
    agents = [agent_for(convai2, tmp_path / name, options) for name in ("one", "two")]
    agents[1].network.load_state_dict(agents[0].network.state_dict())
    world, tokenizer = agents[1].selfplay.world, agents[1].dict.p2bot
    copy = load_transmitter(str(home / "model"), tokenizer)
    assert copy.backbone.network is not agents[1].network.backbone.network
    world.user = world.reading.network = copy
    style = LanguageStyle(load_backbone(str(home / "base")).eval(), [0], tokenizer)
    world.rewards[[reward.name for reward in world.rewards].index("style")] = style
    for agent in agents:
        for number in range(3):
            step(agent, [number, 10 + number, 20 + number])
    one, two = map(own_parameters, agents)
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=1e-5, rtol=0)
    users = [agent.selfplay.world.user.state_dict() for agent in agents]
    for name, weight in users[0].items():
        torch.testing.assert_close(users[1][name], weight)


def test_self_play_saves_both_adapters_and_goes_on(convai2, tmp_path, home, adapted_play):
    path = tmp_path / "model"
    tiny.train(convai2, path, **adapted_play)
    about = read_model_file(path)["p2bot"]["backbone"]
    assert [shape["rank"] for shape in about["adapters"]] == [2, 3]
    tiny.train(convai2, path, **{**adapted_play, "init_model": None, "max_train_steps": 4})
    report = tiny.evaluate(convai2, path)
    assert report["exs"] > 0
    start, tuned = (read_model_file(name)["model"] for name in (home / "model", path))
    first = {name: weight for name, weight in start.items() if ".adapters.0." in name}
    assert first and all(torch.equal(tuned[name], weight) for name, weight in first.items())
    bot = P2Bot.load(path)
    answer = bot.reply("hello")
    ReplyRewards(bot)  # of the web page: its user is another role of the bot's backbone
    assert len(adapters_in(bot.speaker.agent.network.backbone.network)) == 3
    bot.reset()
    assert bot.reply("hello") == answer


def test_one_file_of_all_weights(convai2, home, tmp_path):
    out = tmp_path / "whole"
    MergeAdapter.main(model_file=str(home / "model"), outfile=str(out))
    given = {"batchsize": 4, "rank_candidates": True}
    one, two = (tiny.evaluate(convai2, path, **given) for path in (home / "model", out))
    assert "hits@1" in one and {"loss", "f1", "ppl"} <= one.keys()
    timing = {"exps", "ctps", "ltps", "tps", "gen_n_toks", "total_train_updates"}
    assert {k: v for k, v in two.items() if k not in timing} == pytest.approx(
        {k: v for k, v in one.items() if k not in timing}, rel=1e-4
    )
    with pytest.raises(UsageError, match="has no adapters"):
        MergeAdapter.main(model_file=str(out), outfile=str(tmp_path / "again"))


def test_the_export_has_the_adapters_in_its_weights(home, tmp_path):
    path = str(home / "model")
    ExportHf.main(model_file=path, out=str(tmp_path / "out"), merge=True)
    lm = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    network = load_transmitter(path, read_tokenizer(f"{path}.dict"))
    ids = torch.tensor([[*network.backbone.tokens, 5, 6, 7]])
    with torch.no_grad():
        hidden, _ = network.extend(network.nothing_read(), ids, torch.ones_like(ids).bool())
        torch.testing.assert_close(lm(ids).logits, network.output(hidden), atol=1e-5, rtol=0)


def test_without_peft_the_extra_is_named(home):
    program = (
        "import sys; sys.modules['peft'] = None\n"
        "from p2bot_parlai import P2Bot\n"
        "from p2bot_parlai.errors import P2botError\n"
        "try:\n"
        f"    P2Bot.load({str(home / 'model')!r})\n"
        "except P2botError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert '".[lora]"' in done.stdout, done.stderr


def test_another_base_is_named(convai2, home, tmp_path):
    moved = tmp_path / "home"
    shutil.copytree(home, moved)
    tiny.save_backbone(home / "other", seed=1)
    shutil.rmtree(home / "base")
    shutil.copytree(home / "other", home / "base")
    try:
        with pytest.raises(P2botError, match="belong to another .*base: its weights had SHA-256"):
            create_agent_from_model_file(str(home / "model"), tiny.QUIET)
    finally:
        shutil.rmtree(home / "base")
        shutil.copytree(moved / "base", home / "base")


def test_a_base_that_is_gone_is_named(home):
    (home / "base").rename(home / "moved")
    try:
        with pytest.raises(P2botError, match="adapters need .*/base: put it back, or a link to it"):
            create_agent_from_model_file(str(home / "model"), tiny.QUIET)
    finally:
        (home / "moved").rename(home / "base")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "scratch"}, "--adapter lora: the random weights of --backbone scratch"),
        ({"adapter": "none", "adapter_rank": 4}, "--adapter-rank 4: there is no adapter in this"),
        ({"adapter_rank": 0}, "--adapter-rank 0: this backbone's layers take 1 to 16"),
        ({"adapter_alpha": -1}, "--adapter-alpha -1: must be 0 or more"),
        ({"adapter": "none", "base_dtype": "int8"}, "--base-dtype int8 is for the frozen base"),
        ({"adapter_targets": "query"}, "--adapter-targets query: .* the linear layers"),
    ],
)
def test_bad_options(convai2, home, tmp_path, changes, message):
    given = {**tiny.PRETRAINED, "backbone": str(home / "base"), "adapter": "lora", **changes}
    if changes.get("backbone"):
        given |= {"vocab_size": 400, "n_layers": 1, "n_heads": 2, "embedding_size": 16}
    with pytest.raises((P2botError, UsageError), match=message):
        tiny.train(convai2, tmp_path / "model", **given)


def test_a_new_shape_where_no_adapter_is_made_is_refused(convai2, home, tmp_path):
    given = {**tiny.PRETRAINED, "backbone": None, "init_model": str(home / "model")}
    given["adapter_rank"] = 4
    with pytest.raises(UsageError, match="--adapter-rank 4: the saved adapter has 2"):
        tiny.train(convai2, tmp_path / "model", **given)


def test_the_options_of_the_model_say_it(home):
    opt = json.loads((home / "model.opt").read_text())
    assert (opt["adapter"], opt["adapter_rank"]) == ("lora", 2)


# ------------------------------------------------------------------ a quantised base
@pytest.fixture(scope="module")
def quantised(convai2, home):
    """A model that was trained on a quantised base."""
    path = home / "quantised"
    given = {**tiny.PRETRAINED, **SHORT, "backbone": str(home / "base"), "adapter": "lora"}
    tiny.train(convai2, path, **given, base_dtype="int4")
    return path


def losses(convai2, path, **given) -> float:
    return tiny.evaluate(convai2, path, skip_generation=True, **given)["loss"]


def test_a_saved_model_is_loaded_as_it_was_trained(home, quantised):
    about = read_model_file(quantised)["p2bot"]["backbone"]["base"]
    assert about == read_model_file(home / "model")["p2bot"]["backbone"]["base"]
    assert not [name for name in read_model_file(quantised)["model"] if "qweight" in name]
    agent = create_agent_from_model_file(str(quantised), tiny.QUIET)
    assert Quantised in {type(module) for module in agent.network.modules()}


def test_self_play_on_a_quantised_base(convai2, tmp_path, quantised, adapted_play):
    options = {**adapted_play, "init_model": str(quantised), "base_dtype": "int4"}
    agent = agent_for(convai2, tmp_path / "model", options)
    world = agent.selfplay.world
    assert world.user.backbone.network is agent.network.backbone.network
    scored = world.score(world.play([opening(number) for number in range(2)]))
    with torch.no_grad():
        divergence = reread(agent.network, world.reading, scored.rollouts).kl
    assert divergence.abs().max() < 1e-5
    before = {name: weight.clone() for name, weight in own_parameters(agent).items()}
    step(agent, [0, 1, 2])
    assert any(not torch.equal(w, before[n]) for n, w in own_parameters(agent).items())


def test_merging_takes_the_whole_weights(convai2, quantised, tmp_path):
    MergeAdapter.main(model_file=str(quantised), outfile=str(tmp_path / "whole"))
    expected = losses(convai2, quantised, base_dtype="none")
    assert 0 < abs(losses(convai2, quantised) - expected) < 0.1
    assert losses(convai2, tmp_path / "whole") == pytest.approx(expected, rel=1e-4)
