"""
The Transmitter (paper, section 3.1, Figure 3): a language model that writes responses,
and a head on [CLS] that tells the next utterance from a distractor.

The functions are the equations; the module gives them their log-probabilities. Shapes:
B dialogues, C candidate responses each, T context tokens, R response tokens, V
vocabulary, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from p2bot_parlai.method.backbones import Backbone
from p2bot_parlai.method.kv_cache import ContextStates
from p2bot_parlai.method.layout import Layout


# --------------------------------------------------------------------- the equations
def token_log_likelihood(logits: Tensor, targets: Tensor) -> Tensor:
    """
    log p(x_t | w, h, x_<t), the terms of Eq. 1.

    :param logits: (..., R, V). :param targets: int (..., R). :return: (..., R).
    """
    flat = functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]).float(), targets.reshape(-1), reduction="none"
    )
    return -flat.view(targets.shape)


def scatter_to_mask(values: Tensor, mask: Tensor) -> Tensor:
    """
    Values of real tokens, in order, back in their places; 0 on padding.

    :param values: (K,). :param mask: bool (M, R) with K real tokens. :return: (M, R).
    """
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def log_likelihood(token_scores: Tensor, mask: Tensor) -> Tensor:
    """log p(x | w, h), the sum of Eq. 1 over real tokens: (..., R) -> (...)."""
    return (token_scores * mask).sum(dim=-1)


def length_normalised(token_scores: Tensor, mask: Tensor) -> Tensor:
    """log p(x | w, h) / |x|, the score of Eq. 2: (..., R) -> (...)."""
    return log_likelihood(token_scores, mask) / mask.sum(dim=-1).clamp(min=1)


def joint_score(normalised: Tensor, log_p_next: Tensor, alpha: float) -> Tensor:
    """
    Eq. 3: alpha * log p(x | w, h) / |x| + (1 - alpha) * log p(y = 1 | w, h, x).

    :param alpha: weight of the language model; the paper's is 0.1.
    """
    return alpha * normalised + (1 - alpha) * log_p_next


def log_next_utterance(score: Tensor) -> Tensor:
    """log p(y = 1 | w, h, x) from the score (logit) of the [CLS] head."""
    return functional.logsigmoid(score)


def next_utterance_loss(score: Tensor, distractor_scores: Tensor, mask: Tensor) -> Tensor:
    """
    -log p(y = 1 | response) and the mean -log p(y = 0 | distractor), averaged.

    With the paper's one distractor per response this is binary cross-entropy; more of them
    leave the two classes in balance.

    :param score: (B,) of the true responses. :param distractor_scores: (B, K).
    :param mask: bool (B, K), the real distractors; at least one per row.
    :return: (B,)
    """
    wrong = -(functional.logsigmoid(-distractor_scores) * mask).sum(dim=1) / mask.sum(dim=1)
    return (-functional.logsigmoid(score) + wrong) / 2


# ------------------------------------------------------------------------ the network


class Transmitter(nn.Module):
    """
    :param backbone: see `p2bot_parlai.method.backbones`.

    The head has one logit: two classes with weights w0, w1 are equivalent to one with weight
    w1 - w0.
    """

    backbone: Backbone

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.backbone = backbone
        self.next_utterance = nn.Linear(backbone.hidden_size, 1)
        nn.init.normal_(self.next_utterance.weight, std=0.02)
        nn.init.zeros_(self.next_utterance.bias)
        self.dropout = nn.Dropout(backbone.dropout)
        self.updates = 0  # by an optimizer; see weights_version

    def freeze(self) -> "Transmitter":
        """Without gradients and dropout; other roles of a shared backbone may learn."""
        self.next_utterance.requires_grad_(False)
        self.backbone.freeze()
        return self.eval()

    @property
    def device(self) -> torch.device:
        return self.next_utterance.weight.device

    def encode_context(self, ids: Tensor, valid: Tensor) -> ContextStates:
        """
        Read contexts once. :param ids: int (B, T). :param valid: bool (B, T); padding may be
        anywhere.
        """
        states = self.nothing_read().select(torch.zeros(len(ids), dtype=torch.long))
        return self.extend(states, ids, valid)[1]

    def nothing_read(self) -> ContextStates:
        """The states before the first token: one row without slots."""
        return ContextStates(
            cache=self.backbone.new_cache(),
            valid=torch.zeros(1, 0, dtype=torch.bool, device=self.device),
            next_position=torch.zeros(1, dtype=torch.long, device=self.device),
        )

    def weights_version(self) -> tuple:
        """
        Differs whenever the weights have changed, which makes cached states void.

        torch counts changes in place; mixed-precision optimizers bypass that count, so the
        agent counts updates too.
        """
        return (
            self.backbone.names,
            self.updates,
            *((p.data_ptr(), p._version) for p in self.parameters()),
        )

    def extend(
        self, states: ContextStates, ids: Tensor, valid: Tensor
    ) -> tuple[Tensor, ContextStates]:
        """
        Read further tokens after the cached ones; ``states`` does not change.

        :param ids: int (B, R). :param valid: bool (B, R).
        :return: hidden states (B, R, D) and the longer states.
        """
        length = ids.shape[1]
        count = valid.long().cumsum(dim=1)
        causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        hidden, cache = self._read(states, ids, (count - 1).clamp(min=0), causal & valid[:, None])
        return hidden, ContextStates(
            cache=cache,
            valid=torch.cat([states.valid, valid], dim=1),
            next_position=states.next_position + count[:, -1],
        )

    def step(
        self, states: ContextStates, tokens: Tensor, seen: Tensor
    ) -> tuple[Tensor, ContextStates]:
        """
        Read one token of each of K hypotheses a row, which share their context and position
        and differ in what they see.

        :param tokens: int (B, K). :param seen: bool (B, K, S), the cached slots that each
            hypothesis continues; it also sees its own token.
        :return: hidden states (B, K, D) and the longer states, the K tokens at their end.
        """
        alone = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device)
        own = alone.expand(len(tokens), -1, -1)
        hidden, cache = self._read(states, tokens, torch.zeros_like(tokens), own, seen)
        return hidden, ContextStates(
            cache=cache,
            valid=torch.cat([states.valid, torch.ones_like(tokens, dtype=torch.bool)], dim=1),
            next_position=states.next_position + 1,
        )

    def read(self, layout: Layout, states: ContextStates | None = None) -> tuple[Tensor, Tensor]:
        """
        Hidden states that score the responses of a layout.

        :param states: the contexts that `lay_out`'s rows go on from; None for packed turns.
        :return: those of all tokens (P * T, D), and the scores of the next-utterance head (N,).
        """
        if states is None:
            seen = _with_itself(layout.seen)
            hidden = self.backbone(layout.inputs, layout.positions, seen)
        else:
            hidden, _ = self._read(states, layout.inputs, layout.positions, layout.seen)
        hidden = hidden.reshape(-1, hidden.shape[-1])
        return hidden, self.next_utterance(self.dropout(hidden[layout.cls_index])).squeeze(-1)

    def _read(
        self,
        states: ContextStates,
        ids: Tensor,
        offset: Tensor,
        seen: Tensor,
        past: Tensor | None = None,
    ) -> tuple[Tensor, object]:
        """
        :param offset: int (B, R), positions after the context.
        :param seen: bool (B, R, R), which of the new tokens each new token sees.
        :param past: bool (B, R, S), which cached slots; None: all real ones.
        :return: hidden states (B, R, D) and the extended cache.
        """
        rows, length = ids.shape
        seen = _with_itself(seen)
        if past is None:
            past = states.valid[:, None].expand(rows, length, -1)
        cache = states.fork().cache
        positions = states.next_position[:, None] + offset
        return self.backbone(ids, positions, torch.cat([past, seen], dim=2), cache), cache

    def forward(self, packed: Layout) -> tuple[Tensor, Tensor]:
        """
        One training pass over packed turns.

        :return: logits (K, V) of the K real target tokens, and scores of the next-utterance
            head (N,).
        """
        hidden, scores = self.read(packed)
        return self.output(hidden[packed.target_index[packed.target_mask]]), scores

    def output(self, hidden: Tensor) -> Tensor:
        """Vocabulary logits: (..., D) -> (..., V)."""
        return self.backbone.logits(hidden)


def _with_itself(seen: Tensor) -> Tensor:
    """Padding sees itself: a row of masked keys alone would be 0 / 0."""
    return seen | torch.eye(seen.shape[-1], dtype=torch.bool, device=seen.device)
