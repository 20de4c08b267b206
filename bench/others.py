"""What else does the same work: transformers' generate, and ParlAI's hugging_face/gpt2."""

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


def parlai_gpt2() -> str:
    """
    Whether ParlAI's own GPT-2 agent decodes with this transformers: its step from one token to
    the next, tried on a cache as transformers makes it. Empty where it does, else why not.
    """
    from parlai.agents.hugging_face.gpt2 import HFGPT2Model

    config = transformers.GPT2Config(vocab_size=10, n_embd=8, n_layer=1, n_head=1)
    model = transformers.GPT2Model(config).eval()
    cache = model(torch.tensor([[1, 2]]), use_cache=True).past_key_values
    try:
        HFGPT2Model.reorder_decoder_incremental_state(None, cache, torch.tensor([0]))
    except (AssertionError, TypeError, AttributeError, RuntimeError) as error:
        return f"{type(error).__name__} in reorder_decoder_incremental_state {error}".strip()
    return ""
