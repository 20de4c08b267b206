"""``-m p2bot/transmitter``: the Transmitter behind ParlAI's generator agent."""

import torch
from parlai.core.metrics import AverageMetric
from parlai.core.opt import Opt
from parlai.core.torch_generator_agent import PPLMetric, TorchGeneratorAgent
from parlai.utils.distributed import is_distributed, num_workers
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from p2bot_parlai.agents.checkpoint import check_flags
from p2bot_parlai.agents.dictionary import P2botDictionary
from p2bot_parlai.agents.history import DialogueHistory
from p2bot_parlai.agents.judging import JudgedResponses, PersonaJudges
from p2bot_parlai.agents.learning import GeneratorLearner
from p2bot_parlai.agents.options.persona_metrics import add_persona_metrics_options
from p2bot_parlai.agents.options.transmitter import (
    add_transmitter_options,
    check_options,
    computing_options,
)
from p2bot_parlai.agents.scoring import BEAM_SEARCHES, Decoding, Ranking
from p2bot_parlai.agents.whole_dialogues import WholeDialogues
from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method import backbones, transmitter
from p2bot_parlai.method.backbones.names import UNTRAINED
from p2bot_parlai.method.backbones.precision import keep_casts, set_computing
from p2bot_parlai.method.context_style import APPEND
from p2bot_parlai.method.kv_cache import ContextMemory
from p2bot_parlai.method.layout import Layout, lay_out
from p2bot_parlai.method.model_files import FORMAT, check_description, load_weights, read_model_file
from p2bot_parlai.method.transmitter import Transmitter, scatter_to_mask
from p2bot_parlai.parlai_support.names import set_model_type

# options that shape the network: a saved model keeps its own
SHAPE_OPTIONS = ("backbone", "n_layers", "n_heads", "embedding_size", "n_positions")


class TransmitterAgent(
    WholeDialogues, Decoding, Ranking, JudgedResponses, GeneratorLearner, TorchGeneratorAgent
):
    """
    Learns responses by maximum likelihood (Eq. 1) and next-utterance prediction; decodes
    by beam search re-ranked with Eq. 3; ranks label candidates.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        add_transmitter_options(parser, partial_opt)
        add_persona_metrics_options(parser)
        set_model_type(parser)
        return parser

    @staticmethod
    def dictionary_class():
        return P2botDictionary

    @classmethod
    def history_class(cls):
        return DialogueHistory

    # ----------------------------------------------------------------- construction
    @staticmethod
    def check_training(opt: Opt) -> None:
        """Called before a training run loads anything; see `training_loop`."""
        check_options(opt)

    def __init__(self, opt: Opt, shared=None):
        check_options(opt)
        if "skip_generation" not in opt.get("override", opt):
            # saved by a training run that validated without; who wants it now says so now
            opt["skip_generation"] = False
        self.alpha, self.rank_by = opt["alpha"], opt["rank_by"]
        self.nup_coef, self.num_distractors = opt["nup_coef"], opt["num_distractors"]
        # what a checkpoint tells the training loop about the run; see train_loop
        self.run_state: dict = shared["run_state"] if shared else {}
        # the language model that training began with, and whether [CLS] was ever trained
        self.pretrained, self.has_next_utterance = opt["backbone"], self.nup_coef > 0
        self.memory = ContextMemory()
        # loaded first: what is missing shall be said before anything else takes time
        self.judges = shared["judges"] if shared else PersonaJudges.asked_for(opt)
        super().__init__(opt, shared)
        if self.judges is not None and not shared:
            self.judges.to(self.device)
        for name in ("beam_size", "topk"):
            if self.opt[name] > len(self.dict):
                raise UsageError(
                    f"--{name.replace('_', '-')} {self.opt[name]} is more than the vocabulary "
                    f"has entries ({len(self.dict)})"
                )
        # beams mean something in beam search alone; elsewhere they must be asked for
        if self.opt["inference"] in ("greedy", "multinomial"):
            self.beam_size = 1
        elif self.opt["inference"] not in BEAM_SEARCHES:
            self.beam_size = int(self.opt.get("override", {}).get("beam_size", 1))

    def build_model(self) -> Transmitter:
        path, _ = self._get_init_model(self.opt, None)
        if path:
            self._saved = read_model_file(path)
            check_description(self._saved, path, backbone=dict, options=dict, run=dict)
            # a file of a version that did not say has our own style
            built = {"context_style": APPEND.name, **self._saved["p2bot"]["options"]}
            check_flags(path, built, self.opt.get("override", {}))
            if self._saved["p2bot"].get("tokenizer") not in (None, self.dict.p2bot.fingerprint()):
                raise P2botError(
                    f"{self.opt['dict_file']} is not the tokenizer that {path} was trained with: "
                    "use the .dict beside that file, or another --model-file"
                )
            backbone = backbones.from_json(self._saved["p2bot"]["backbone"])
        elif self.opt["backbone"] in UNTRAINED:
            backbone = backbones.build_untrained(self.opt["backbone"], len(self.dict), self.opt)
        else:
            backbone = backbones.load_backbone(self.opt["backbone"])
            backbone.resize(len(self.dict))
        needed = self.text_truncate + self.label_truncate + 2  # [SELF] and [CLS]
        if backbone.max_positions and needed > backbone.max_positions:
            raise UsageError(
                f"--text-truncate {self.text_truncate} and --label-truncate {self.label_truncate} "
                f"need {needed} positions, the backbone has {backbone.max_positions}: lower them"
            )
        network = Transmitter(backbone)
        set_computing(network, *computing_options(self.opt))
        return network

    @property
    def network(self) -> Transmitter:
        """The network, out of a data-parallel wrapper where there is one."""
        model = self.model
        return model if isinstance(model, Transmitter) else model.module

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def share(self):
        return {**super().share(), "run_state": self.run_state, "judges": self.judges}

    # ---------------------------------------------------------------- save and load
    def state_dict(self) -> dict:
        """Plain data and tensors alone: `read_model_file` refuses anything else."""
        states = super().state_dict()
        states["p2bot"] = {
            "format": FORMAT,
            "backbone": self.network.backbone.to_json(),
            "options": {
                **{name: self.opt[name] for name in SHAPE_OPTIONS},
                "context_style": self.dict.p2bot.style.name,
            },
            "tokenizer": self.dict.p2bot.fingerprint(),
            "pretrained": self.pretrained,
            "next_utterance": self.has_next_utterance,
            "run": self.run_state,
        }
        return states

    def load(self, path: str) -> dict:
        states, self._saved = self._saved, None
        load_weights(self.model, states, path)
        saved = states["p2bot"]
        self.run_state = saved["run"]
        self.opt.update(saved["options"])  # with --init-model the flags are at their defaults
        # a file of a version that did not say was trained with the defaults
        self.pretrained = saved.get("pretrained", saved["options"]["backbone"])
        self.has_next_utterance = saved.get("next_utterance", True) or self.has_next_utterance
        return states

    # -------------------------------------------------------------- from text to ids
    def _set_text_vec(self, obs, history, truncate):
        if obs.is_padding():  # at the end of an epoch
            return obs
        context = history.context(truncate)
        obs["full_text"] = history.get_history_str() or ""
        obs["text_vec"] = torch.tensor(context.ids, dtype=torch.long)
        if self.beam_context_block_ngram > 0:
            obs["full_text_vec"] = history.context(None).ids
        dropped = context.full_length - len(context.ids)
        dialogue = history.dialogue
        obs["own_persona"] = list(dialogue.persona)
        obs["own_turns"] = [text for own, text in dialogue.turns if own]
        obs["context_original_length"] = context.full_length
        obs["context_truncate_rate"] = dropped > 0
        obs["context_truncated_length"] = dropped
        return obs

    def _set_label_vec(self, obs, add_start, add_end, truncate):
        super()._set_label_vec(obs, add_start, add_end, truncate)  # changes obs
        kind = "labels" if "labels" in obs else "eval_labels"
        if self.dict.p2bot.cls is None and f"{kind}_vec" in obs:
            ids = self.response_ids(obs[f"{kind}_choice"], truncate)
            obs.force_set(f"{kind}_vec", torch.tensor(ids, dtype=torch.long))

    def _set_label_cands_vec(self, obs, add_start, add_end, truncate):
        """Distractors where there are labels; all candidates where they are ranked."""
        candidates = list(obs.get("label_candidates") or ())
        if "labels" in obs:
            drawn = self._drawn_distractors(obs, truncate)
        else:  # the same ones every time
            labels = obs.get("eval_labels") or ()
            others = [c for c in candidates if c not in labels] if labels else []
            others = others[: self.num_distractors] if self.nup_coef > 0 else []
            drawn = [self.response_ids(text, truncate) for text in others]
        if drawn:
            obs["distractor_vecs"] = drawn
        if "labels" not in obs and self.rank_candidates and candidates:
            obs.force_set("label_candidates", candidates)
            obs["label_candidates_vecs"] = [self.response_ids(c, truncate) for c in candidates]
        return obs

    def response_ids(self, text: str, truncate: int) -> list[int]:
        """
        What is scored of a response, [EOS] included where it fits; where the next-utterance
        head reads it, it always does.
        """
        words = self.dict.txt2vec(text)
        if self.dict.p2bot.cls is None:
            words = words[: truncate - 1]
        return [*words, self.END_IDX][:truncate]

    def batchify(self, obs_batch, sort=False):
        whole = [i for i, obs in enumerate(obs_batch) if "turns" in obs]
        if whole:
            return self.batch_of_dialogues([obs_batch[i] for i in whole], torch.tensor(whole))
        batch = super().batchify(obs_batch, sort=sort)
        if batch.batchsize == 0:
            return batch
        rows = [obs_batch[i] for i in batch.valid_indices]
        batch["observations_read"] = rows  # ParlAI keeps them in --debug alone
        batch["contexts"] = [row["text_vec"].tolist() for row in rows]
        batch["ends"] = [row.get("episode_done", False) for row in rows]
        if batch.text_vec is None:  # nobody has spoken yet, and there is no persona
            batch.text_vec = torch.full((len(rows), 1), self.NULL_IDX)
        field = "labels_vec" if batch.is_training else "eval_labels_vec"
        batch["responses"] = [row[field].tolist() if field in row else None for row in rows]
        batch["distractors"] = self._distractors(rows, batch["responses"])
        batch["label_words"] = [
            self._words(*pair) for pair in zip(batch["responses"], batch.labels or (), strict=False)
        ]
        return batch

    def _words(self, response: list[int] | None, label: str | None) -> int:
        return self.dict.words(response, label)

    def _distractors(self, rows, responses) -> list[list[list[int]]]:
        """Each row's own, else the next other responses of the batch, as many as there are."""
        chosen = [row.get("distractor_vecs", []) for row in rows]
        if self.nup_coef > 0:
            for i, (own, response) in enumerate(zip(chosen, responses, strict=True)):
                if not own and response is not None:
                    turned = responses[i + 1 :] + responses[:i]
                    others = [r for r in turned if r and r != response]
                    chosen[i] = others[: self.num_distractors]
        return chosen

    # --------------------------------------------------------------------- the loss
    def _lay_out(self, responses: list[list[list[int]]]) -> Layout:
        return lay_out(responses, self.dict.p2bot.marks).to(self.device)

    def _valid(self, batch) -> Tensor:
        return batch.text_vec != self.NULL_IDX

    def compute_loss(self, batch, return_output=False):
        """
        Mean negative log-likelihood a token (Eq. 1) + nup_coef * next-utterance loss.
        """
        if batch.label_vec is None:
            raise ValueError("Cannot compute loss without a label.")
        mask = batch.label_vec != self.NULL_IDX
        logits, scores = self._read_for_loss(batch, mask)
        targets, best = batch.label_vec[mask], logits.argmax(-1)
        token_scores = scatter_to_mask(transmitter.token_log_likelihood(logits, targets), mask)
        self._record_language_metrics(
            batch, token_scores, scatter_to_mask(best == targets, mask), mask
        )
        loss = -token_scores.sum() / self._share_of_all(mask.sum())
        loss = loss + 0 * scores.sum()  # the head is in the graph of every worker
        if self.nup_coef > 0:
            loss = loss + self.nup_coef * self._next_utterance(batch, scores)
        if "packed" in batch:
            self.merge_by_dialogue(batch)
        if not return_output:
            return loss
        shown = None
        if self.show_token_details:  # ParlAI looks at them for nothing else
            shown = logits.new_zeros(*mask.shape, logits.shape[-1])
            shown[mask] = logits
        return loss, (shown, scatter_to_mask(best, mask), None)

    def _read_for_loss(self, batch, mask: Tensor) -> tuple[Tensor, Tensor]:
        """
        Logits of the K real tokens of the labels (K, V), and [CLS] scores: of each row its
        own response's, then its distractors'.

        :param mask: bool (B, R), the real tokens.
        """
        if "packed" in batch:
            return self.model(batch.packed)
        rows = list(zip(batch.responses, batch.distractors, strict=True))
        branches = self._lay_out([[own or [self.END_IDX], *wrong] for own, wrong in rows])
        first = torch.tensor([1 + len(wrong) for _, wrong in rows]).cumsum(0).roll(1)
        first[0] = 0  # where each row's own response is among all
        predicted = branches.target_index[first.to(self.device), : mask.shape[1]][mask]
        if "context_states" in batch:
            hidden, scores = self.network.read(branches, batch.context_states)
            return self.network.output(hidden[predicted]), scores
        return self.model(batch.text_vec, self._valid(batch), branches, predicted)

    def _next_utterance(self, batch, scores: Tensor) -> Tensor:
        """The loss of the [CLS] head over the rows that have distractors; scores is (N,)."""
        size = batch.batchsize
        counts = [len(found) for found in batch.distractors]
        padded = pad_sequence(scores.split([1 + count for count in counts]), batch_first=True)
        right_score, wrong = padded[:, 0], padded[:, 1:]  # (B,), (B, K)
        mask = torch.arange(wrong.shape[1]) < torch.tensor(counts)[:, None]
        rows = [row for row, count in enumerate(counts) if count]
        mask, wrong = mask[rows].to(self.device), wrong[rows]
        nup = transmitter.next_utterance_loss(right_score[rows], wrong, mask)
        better = ((right_score[rows, None] > wrong) & mask).sum(dim=1) / mask.sum(dim=1)
        losses: list = [None] * size
        right: list = [None] * size
        for row, loss, share in zip(rows, nup.tolist(), better.tolist(), strict=True):
            losses[row], right[row] = AverageMetric(loss), AverageMetric(share)
        self.record_local_metric("nup_loss", losses)
        self.record_local_metric("nup_acc", right)
        count = self._share_of_all(torch.tensor(float(len(rows)), device=self.device))
        return nup.sum() / count.clamp(min=1e-9)

    def _share_of_all(self, count: Tensor) -> Tensor:
        """
        What one worker divides its sum by, so that the mean of the workers' gradients is
        the gradient of the mean over all workers' examples.
        """
        count = count.float()
        if is_distributed() and self.is_training:
            count = count.clone()
            torch.distributed.all_reduce(count)
            count = count / num_workers()
        return count

    def _record_language_metrics(self, batch, token_scores, hits, mask) -> None:
        """
        :param token_scores: (B, R). :param hits: bool (B, R), which tokens are the likeliest.
        """
        losses = -token_scores.detach()
        exact = (hits == mask).all(dim=1).tolist()
        metrics = {
            "loss": AverageMetric.from_mask(losses, mask),
            "ppl": PPLMetric.from_mask(losses, mask),
            # the same over words: comparable across tokenizers
            "ppl_word": PPLMetric.many(losses.sum(dim=1).tolist(), batch.label_words),
            "token_acc": AverageMetric.from_mask(hits, mask),
            "token_em": AverageMetric.many(exact),
        }
        labelled = [response is not None for response in batch.responses]
        for name, values in metrics.items():
            found = [v if has else None for v, has in zip(values, labelled, strict=True)]
            self.record_local_metric(name, found)

    # ------------------------------------------------------------------- evaluation
    def eval_step(self, batch):
        """The context is read once, for loss, ranking, decoding and re-ranking alike."""
        if batch.batchsize == 0:
            return None
        self.model.eval()
        with keep_casts(self.device):
            batch["context_states"] = self._read_contexts(batch)
            output = super().eval_step(batch)
        return self.judged(batch, output)

    def _read_contexts(self, batch):
        """The encoded contexts; of conversations that go on, only what is new is read."""
        conversations = batch.valid_indices.tolist()
        contexts = dict(zip(conversations, batch.contexts, strict=True))
        states = self.memory.read(self.network, contexts)
        for conversation, over in zip(conversations, batch.ends, strict=True):
            if over:
                self.memory.close(conversation)
        return states

    def reset(self):
        super().reset()
        self.memory.forget()

    def update_params(self):
        super().update_params()
        self.network.updates += 1  # what was read with the old weights is void
