"""Shared by the agents over sentence encoders: the Receiver and the entailment classifier."""

import torch
from parlai.core.torch_agent import History
from parlai.utils.distributed import is_distributed, sync_parameters

from p2bot_parlai.agents.encoder_dictionary import EncoderDictionary
from p2bot_parlai.agents.learning import Learner
from p2bot_parlai.method.backbones import encoder as encoders
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

    def build_encoder(self) -> encoders.SentenceEncoder:
        """A new ``--encoder``."""
        if self.opt["encoder"] != encoders.SCRATCH:
            return encoders.load_encoder(self.opt["encoder"])
        names = ("embedding_size", "n_layers", "n_heads", "dropout")
        return encoders.random_encoder(len(self.dict), *(self.opt[name] for name in names))

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
