"""Shared by the agents over sentence encoders: the Receiver and the entailment classifier."""

from typing import Any

import torch
from parlai.core.torch_agent import History
from parlai.utils.distributed import is_distributed, sync_parameters

from p2bot_parlai.agents.encoder_dictionary import EncoderDictionary
from p2bot_parlai.agents.learning import Learner
from p2bot_parlai.agents.options import adapters
from p2bot_parlai.errors import UsageError
from p2bot_parlai.method.backbones import encoder as encoders
from p2bot_parlai.method.backbones.precision import freeze_casts, set_computing
from p2bot_parlai.method.context import Dialogue
from p2bot_parlai.parlai_support.batches import Batch


class NoHistory(History):
    """A message says everything: nothing is remembered between messages."""

    dialogue = Dialogue()  # the training loop saves it; always empty

    def update_history(self, obs, temp_history=None):
        pass

    def add_reply(self, text):
        pass


class EncoderAgent(Learner):
    """Comes before ParlAI's agent among the base classes."""

    @staticmethod
    def dictionary_class():
        return EncoderDictionary

    @classmethod
    def history_class(cls):
        return NoHistory

    def build_encoder(self, like: Any = None) -> Any:
        """
        The saved model's, with fresh weights, or a new ``--encoder``.

        :param like: another one, whose base it shares where both are adapters.
        """
        opt = self.opt
        if self.saved:
            about = self.saved.about["encoder"]
            adapters.refuse_shape(opt, about.get("adapters", [None])[-1])
            return encoders.from_json(about, like)
        scratch = opt["encoder"] == encoders.SCRATCH
        if opt["adapter"] == "none":
            adapters.refuse_shape(opt, None)
            if not scratch:
                return encoders.load_encoder(opt["encoder"])
            names = ("embedding_size", "n_layers", "n_heads", "dropout")
            return encoders.random_encoder(len(self.dict), *(opt[name] for name in names))
        if opt["adapter"] != "lora":
            raise UsageError(f"--adapter {opt['adapter']}: an encoder takes lora or none")
        if scratch:
            raise UsageError(
                f"--adapter lora: the random weights of --encoder {encoders.SCRATCH} would stay "
                "random; name a pretrained encoder, or train all weights"
            )
        from p2bot_parlai.method.backbones import adapted  # peft is an extra

        if like:
            found = like.without_adapters()
        else:
            found = adapted.on_base(encoders.load_encoder, opt["encoder"])
        found.add(*adapters.shape_of(opt, opt["adapter_rank"]))
        return found

    def set_computing(self, network: torch.nn.Module) -> None:
        """As ``--precision`` asks."""
        set_computing(network, self.precision)
        if self.opt["adapter"] != "none":
            freeze_casts(network)  # of the base, which does not learn

    def run_on_all(self) -> None:
        """The same weights on every process, and gradients that are averaged over them."""
        sync_parameters(self.model)
        if is_distributed():
            self.model = torch.nn.parallel.DistributedDataParallel(
                self.model,
                device_ids=[self.opt["gpu"]] if self.use_cuda else None,
                broadcast_buffers=False,
            )

    def vectorize(self, obs, history, **kwargs):
        """``text_vec`` is for ParlAI's dynamic batching, which asks for lengths."""
        if not obs.is_padding():
            obs.force_set("text_vec", torch.tensor(self.ids_of(obs), dtype=torch.long))
        return obs

    def batchify(self, obs_batch, sort=False) -> Batch:
        valid = [(i, obs) for i, obs in enumerate(obs_batch) if self.is_valid(obs)]
        if not valid:
            return Batch(batchsize=0)
        indices, observations = zip(*valid, strict=True)
        return Batch(
            batchsize=len(valid),
            is_training=any("labels" in obs for obs in observations),
            valid_indices=torch.tensor(indices),
            **self.read(observations),
        )
