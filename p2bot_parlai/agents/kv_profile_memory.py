"""``-m p2bot/kv_profile_memory``: key-value profile memory (Zhang et al., 2018), a ranker."""

import random

import torch
from parlai.core.opt import Opt
from parlai.core.torch_ranker_agent import TorchRankerAgent
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from p2bot_parlai.agents.baseline import PROFILE_OPTIONS, Baseline
from p2bot_parlai.agents.memory_networks import KeyValueProfileMemory, word_weights
from p2bot_parlai.agents.options import inherited
from p2bot_parlai.agents.options.common import NOT_NEGATIVE, check_bounds
from p2bot_parlai.errors import UsageError


class KvProfileMemoryAgent(Baseline, TorchRankerAgent):
    """
    Learns to tell a response from those of the other dialogues in the batch, with the hop
    over the profile only. In evaluation it also reads (history, response) pairs seen in
    training, as Zhang et al. did: training through that memory is too slow.
    """

    WITHOUT_MEANING = inherited.OF_KV_PROFILE_MEMORY
    SHAPE_OPTIONS = ("embedding_size",)
    READS_PROFILE = True
    DEFAULTS = {
        "candidates": "batch",
        "eval_candidates": "inline",
        "encode_candidate_vecs": False,
        "validation_metric": "hits@1",
        "validation_metric_mode": "max",
    }
    OWN_OPTIONS = {
        **PROFILE_OPTIONS,
        "--kv-memories": (
            10000,
            "Training pairs (history, response) to remember for evaluation, sampled uniformly; "
            "0 disables the second hop",
        ),
    }

    @classmethod
    def check(cls, opt: Opt) -> None:
        super().check(opt)
        check_bounds(opt, {"kv_memories": NOT_NEGATIVE})

    def __init__(self, opt: Opt, shared=None):
        # pairs as ids; how many examples were seen; the encoded pairs
        self.memory = shared["memory"] if shared else {"pairs": [], "seen": 0, "encoded": None}
        super().__init__(opt, shared)

    def share(self):
        return {**super().share(), "memory": self.memory}

    def build_network(self) -> KeyValueProfileMemory:
        return KeyValueProfileMemory(
            word_weights(self.dict.counts),
            self.opt["embedding_size"],
            self.NULL_IDX,
            self.opt["dropout"],
        )

    def describe(self) -> dict:
        return {**super().describe(), "memories": {k: self.memory[k] for k in ("pairs", "seen")}}

    def load(self, path: str) -> dict:
        self.memory.update(self.saved.about["memories"], encoded=None)
        return super().load(path)

    # -------------------------------------------------------------------- candidates
    def set_fixed_candidates(self, shared) -> None:
        """:raises UsageError: without a list of candidates; ParlAI would try to open None."""
        fixed = not shared and "fixed" in (self.candidates, self.eval_candidates)
        if fixed and not (self.fixed_candidates_path or self.get_task_candidates_path()):
            raise UsageError("--eval-candidates fixed needs --fixed-candidates-path FILE")
        super().set_fixed_candidates(shared)

    # ------------------------------------------------------------------------ scores
    def score_candidates(self, batch, cand_vecs, cand_encs=None) -> Tensor:
        """(B, C), of candidates int (C, L) or (B, C, L)."""
        pairs = None if self.is_training else self._encoded_pairs()
        query = self.model.query(batch.text_vec, batch.profile, pairs)
        if cand_encs is None:
            cand_encs = self.model.encode(self.model.responses, cand_vecs)
        scores = self.model.score(query, cand_encs)
        if cand_vecs.dim() == 2:
            return scores
        # where other rows have more candidates
        there = (cand_vecs != self.NULL_IDX).any(dim=-1)
        return scores.masked_fill(~there, torch.finfo(scores.dtype).min)

    def eval_step(self, batch):
        """
        Ranks the candidates. Its reply is the best of the remembered responses: F1 of the best
        of 20 candidates, one of them the truth, would say little.
        """
        everything = range(batch.batchsize)
        inline = self.eval_candidates == "inline"
        ranked = self.fill_candidates(batch) if inline and batch.batchsize else everything
        output, pairs = super().eval_step(batch), self._encoded_pairs()
        if output is None:
            return None
        for name in ("text", "text_candidates"):
            output[name] = [output[name][i] if i in ranked else None for i in everything]
        for name in ("loss", "rank", "mrr"):
            if values := self._local_metrics.get(name):
                values[:] = [value if i in ranked else None for i, value in enumerate(values)]
        if pairs is not None:
            with torch.no_grad():
                query = self.model.query(batch.text_vec, batch.profile, pairs)
                scores = self.model.score(query, pairs[1])
            # one of the best --topk, or the best, as in ParlAI
            count = self.opt["topk"] if self.opt["inference"] == "topk" else 1
            best = scores.topk(min(count, scores.shape[1])).indices.tolist()
            chosen = [random.choice(row) if count > 1 else row[0] for row in best]
            output.text = [self.dict.vec2txt(self.memory["pairs"][i][1]) for i in chosen]
        return output

    # ------------------------------------------------------------------------ memory
    def train_step(self, batch):
        output = TorchRankerAgent.train_step(self, batch)  # `Learner` has that of generators
        if self.opt["kv_memories"] and batch.text_vec is not None:
            for history, response in zip(batch.text_vec, batch.label_vec, strict=True):
                self._remember(history, response)
        return output

    def _remember(self, history: Tensor, response: Tensor) -> None:
        """Reservoir sampling: every pair seen so far is kept with equal probability."""
        self.memory["seen"] += 1
        pairs, place = self.memory["pairs"], len(self.memory["pairs"])
        if place >= self.opt["kv_memories"]:
            place = random.randrange(self.memory["seen"])
            if place >= len(pairs):
                return
        real = [vec[vec != self.NULL_IDX].tolist() for vec in (history, response)]
        pairs[place : place + 1] = [real]

    def update_params(self):
        super().update_params()
        self.memory["encoded"] = None

    @torch.no_grad()
    def _encoded_pairs(self) -> tuple[Tensor, Tensor] | None:
        """Keys and values, (K, E) each, under the current weights."""
        pairs = self.memory["pairs"]
        if not pairs or not self.opt["kv_memories"]:
            return None
        if self.memory["encoded"] is None:
            device = self.model.weights.device
            encoded = []
            for side, table in enumerate((self.model.said, self.model.responses)):
                texts = [torch.tensor(pair[side]) for pair in pairs]
                parts = [
                    self.model.encode(
                        table,
                        pad_sequence(texts[i : i + 512], True, self.NULL_IDX).to(device),
                    )
                    for i in range(0, len(texts), 512)
                ]
                encoded.append(torch.cat(parts))
            self.memory["encoded"] = tuple(encoded)
        return self.memory["encoded"]
