"""Rows of tokens read one by one, with no cache and no padding: what every fast way must equal."""

import torch


def read(backbone, ids: list[int]) -> torch.Tensor:
    """Hidden states of a row: (tokens, width)."""
    length = len(ids)
    causal = torch.ones(1, length, length, dtype=torch.bool).tril()
    return backbone(torch.tensor([ids]), torch.arange(length)[None], causal)[0]


def log_p(network, before: list[int], response: list[int]) -> torch.Tensor:
    """Log-probability of each token of a response behind the tokens before it."""
    hidden = read(network.backbone, [*before, *response[:-1]])[len(before) - 1 :]
    return network.output(hidden).log_softmax(dim=-1)[range(len(response)), response]


def next_score(network, tokens, context: list[int], response: list[int]) -> torch.Tensor:
    """The logit of p(y = 1), read at [CLS], in the original form at the last token: scalar."""
    mark = [] if tokens.cls is None else [tokens.cls]
    hidden = read(network.backbone, [*context, tokens.self_, *response, *mark])
    return network.next_utterance(hidden[-1])[0]
