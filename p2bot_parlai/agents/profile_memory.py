"""``-m p2bot/profile_memory``: generative profile memory (Zhang et al., 2018)."""

from parlai.core.opt import Opt
from parlai.core.torch_generator_agent import TorchGeneratorAgent

from p2bot_parlai.agents.baseline import GROUP, BaselineGenerator
from p2bot_parlai.agents.memory_networks import GenerativeProfileMemory, word_weights


class ProfileMemoryAgent(BaselineGenerator, TorchGeneratorAgent):
    """Encodes the history by an LSTM; the decoder attends over the profile sentences."""

    SHAPE_OPTIONS = ("embedding_size", "hidden_size")
    READS_PROFILE = True

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        group = parser.add_argument_group(GROUP)
        group.add_argument(
            "--hidden-size", type=int, default=1024, help="Width of the two LSTMs (history, reply)"
        )
        return parser

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
