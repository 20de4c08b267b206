"""Shared by the trained baselines of Table 1, so that their numbers compare with ours."""

import torch
from parlai.core.opt import Opt
from parlai.core.torch_generator_agent import TreeSearch
from parlai.utils.torch import padded_3d

from p2bot_parlai.agents.checkpoint import SavedModel
from p2bot_parlai.agents.counted_dictionary import CountedDictionary
from p2bot_parlai.agents.history import DialogueHistory
from p2bot_parlai.agents.learning import Learner
from p2bot_parlai.agents.options import inherited
from p2bot_parlai.agents.options.common import Options, add_options
from p2bot_parlai.agents.options.persona_metrics import METRIC_LANGUAGE
from p2bot_parlai.agents.perplexity import Perplexity
from p2bot_parlai.agents.stock_searches import PhraseBlocklist, block_list, tree_search
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import Dialogue, build_context
from p2bot_parlai.method.model_files import check_description, read_model_file

OPTIONS: Options = {
    "--vocab-size": (8000, "Largest vocabulary of the byte-level BPE learnt from the task"),
    **METRIC_LANGUAGE,
}
# of those that read the profile
PROFILE_OPTIONS: Options = {
    "--embedding-size": (300, "Width of embeddings"),
    "--dropout": (0.1, "Dropout probability"),
}


class Baseline(Learner):
    """
    Dictionary, history, saving and loading. Comes before ParlAI's agent among the bases.

    A subclass defines `build_network`, by the options, which are those of the saved model where
    there is one, and names in `SHAPE_OPTIONS` the options that a saved model keeps. With
    `READS_PROFILE` it keeps the profile sentences apart from the history: ``text_vec`` is the
    history alone, ``profile`` int (B, P, L) the sentences, padded.
    """

    READING_OPTIONS = ("history_size", "text_truncate", "label_truncate")
    WITHOUT_MEANING = inherited.OF_BASELINES
    READS_PROFILE = False
    OWN_OPTIONS: Options = {}
    DEFAULTS: dict = {}

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        add_options(parser, "P²Bot baselines", {**OPTIONS, **cls.OWN_OPTIONS})
        parser.set_defaults(
            optimizer="adam",
            learningrate=1e-3,
            gradient_clip=1.0,
            text_truncate=256,
            label_truncate=32,
            validation_share_agent=True,
            **cls.DEFAULTS,
        )
        return parser

    @staticmethod
    def dictionary_class():
        return CountedDictionary

    @classmethod
    def history_class(cls):
        return DialogueHistory

    # ---------------------------------------------------------------- save and load
    @classmethod
    def read_saved(cls, path: str) -> SavedModel:
        states = read_model_file(path)
        if states["p2bot"].get("baseline") != cls.__name__:
            raise P2botError(
                f"{path} was not saved by --model {cls.__name__}: give its own --model, or "
                "another --model-file or --init-model"
            )
        check_description(states, path, options=dict, tokenizer=str, run=dict)
        return SavedModel(path, states)

    def build_model(self):
        return self.build_network()

    def describe(self) -> dict:
        return {"baseline": type(self).__name__}

    # -------------------------------------------------------------- from text to ids
    def _set_text_vec(self, obs, history, truncate):
        if obs.is_padding():  # at the end of an epoch
            return obs
        ids = self._context_ids(history, truncate) or [self.dict.p2bot.partner]
        obs["text_vec"] = torch.tensor(ids, dtype=torch.long)
        obs["full_text_vec"] = self._context_ids(history, None)  # see --beam-block-full-context
        if self.READS_PROFILE:
            said = history.dialogue
            # with both personas (convai2:both) it remembers both
            sentences = (*said.persona, *said.partner_persona)
            vectors = [torch.tensor(self.dict.txt2vec(sentence)) for sentence in sentences]
            obs["profile_vecs"] = [ids for ids in vectors if len(ids)]
        return obs

    def _context_ids(self, history: DialogueHistory, limit: int | None) -> list[int]:
        """Persona and history: too long, whole oldest turns go, the persona never."""
        if not self.READS_PROFILE:
            return history.context(limit).ids
        turns = history.dialogue.turns
        if history.size > 0:
            turns = turns[-history.size :]
        return build_context(Dialogue(turns=turns), self.dict.p2bot, limit, self.dict.txt2vec).ids

    def batchify(self, obs_batch, sort=False):
        batch = super().batchify(obs_batch, sort=sort)
        if batch.batchsize and self.READS_PROFILE:
            nothing = [torch.tensor([self.NULL_IDX])]
            profiles = [obs_batch[i]["profile_vecs"] or nothing for i in batch.valid_indices]
            batch["profile"] = padded_3d(profiles, self.NULL_IDX)
        return batch

    def fill_candidates(self, batch) -> set[int]:
        """
        The rows that have candidates. The others get their label, as ParlAI ranks all rows or
        none: leave out what it finds for them.
        """
        nothing = [None] * batch.batchsize
        given, labels = batch.candidate_vecs or nothing, nothing
        if batch.label_vec is not None:
            labels = batch.label_vec.cpu()
            told = (labels != self.NULL_IDX).any(dim=1).tolist()
            given = [vecs if own else None for vecs, own in zip(given, told, strict=True)]
        texts = batch.candidates or nothing
        end = torch.tensor([self.END_IDX])
        batch.candidates = [t if v else [""] for t, v in zip(texts, given, strict=True)]
        batch.candidate_vecs = [
            vecs or [end if label is None else label]
            for vecs, label in zip(given, labels, strict=True)
        ]
        return {row for row, vecs in enumerate(given) if vecs}


class BaselineGenerator(Baseline):
    """A baseline that writes: perplexity per word, and ranking by likelihood."""

    DEFAULTS = {
        "rank_candidates": True,
        "validation_metric": "ppl",
        "validation_metric_mode": "min",
    }

    def _set_label_cands_vec(self, obs, *args, **kwargs):
        """Candidates are ranked in evaluation only; ParlAI would tokenise all 20 anyway."""
        return obs if "labels" in obs else super()._set_label_cands_vec(obs, *args, **kwargs)

    def _load_beam_block_list(self) -> PhraseBlocklist:
        return block_list(self.opt, self.dict)

    def _treesearch_factory(self, device, verbose=False) -> TreeSearch:
        return tree_search(self.opt, self.beam_size, self.dict, device, verbose)

    def record_per_token_metrics(self, batch, loss_per_token):
        """:param loss_per_token: (B, R), 0 on padding."""
        rows = [vec[vec != self.NULL_IDX].tolist() for vec in batch.label_vec]
        words = [self.dict.words(*pair) for pair in zip(rows, batch.labels, strict=True)]
        sums = loss_per_token.sum(dim=1).tolist()
        self.record_local_metric("ppl_word", Perplexity.many(sums, words))
        if "ppl" in self._local_metrics:  # recorded by ParlAI
            mask = batch.label_vec != self.NULL_IDX
            self._local_metrics["ppl"] = Perplexity.from_mask(loss_per_token, mask)

    def rank_eval_label_candidates(self, batch, batchsize):
        """By length-normalised likelihood (Eq. 2), of the rows that have candidates."""
        if not (ranked := self.fill_candidates(batch)):
            return None, None
        found = super().rank_eval_label_candidates(batch, batchsize)
        return [[row if i in ranked else None for i, row in enumerate(rows)] for rows in found]
