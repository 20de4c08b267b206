"""``-m p2bot/profile_memory``: generative profile memory (Zhang et al., 2018)."""

from parlai.core.torch_generator_agent import TorchGeneratorAgent

from p2bot_parlai.agents.baseline import PROFILE_OPTIONS, BaselineGenerator
from p2bot_parlai.agents.memory_networks import GenerativeProfileMemory, word_weights


class ProfileMemoryAgent(BaselineGenerator, TorchGeneratorAgent):
    """Encodes the history by an LSTM; the decoder attends over the profile sentences."""

    SHAPE_OPTIONS = ("embedding_size", "hidden_size")
    READS_PROFILE = True
    OWN_OPTIONS = {
        **PROFILE_OPTIONS,
        "--hidden-size": (1024, "Width of the two LSTMs (history, reply)"),
    }

    def build_network(self) -> GenerativeProfileMemory:
        return GenerativeProfileMemory(
            word_weights(self.dict.counts),
            self.opt["embedding_size"],
            self.opt["hidden_size"],
            self.opt["dropout"],
            self.NULL_IDX,
            self.START_IDX,
            self.END_IDX,
        )

    def _model_input(self, batch):
        return batch.text_vec, batch.profile
