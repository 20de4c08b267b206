"""Beam search by transformers' generate, for comparison."""

import torch
import transformers

from p2bot_parlai.method.backbones import GPT


class Generate:
    """transformers' beam search with the weights of a network of ours."""

    def __init__(self, network, tokenizer):
        self.tokens = tokenizer
        if isinstance(network.backbone, GPT):
            config = network.backbone.config
            self.model = transformers.OpenAIGPTLMHeadModel(
                transformers.OpenAIGPTConfig(
                    vocab_size=config.vocab_size,
                    n_positions=config.n_positions,
                    n_embd=config.n_embd,
                    n_layer=config.n_layer,
                    n_head=config.n_head,
                )
            )
            self.model.base_model.load_state_dict(network.backbone.state_dict())
            self.model.tie_weights()
        else:
            self.model = network.backbone.lm
        self.model.eval()

    @torch.no_grad()
    def beam(self, contexts: list[list[int]], length: int, width: int = 2) -> list[list[int]]:
        ids = torch.tensor([[*context, self.tokens.self_] for context in contexts])
        found = self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            num_beams=width,
            do_sample=False,
            min_new_tokens=length,
            max_new_tokens=length,
            eos_token_id=self.tokens.eos,
            pad_token_id=self.tokens.pad,
        )
        return found[:, ids.shape[1] :].tolist()
