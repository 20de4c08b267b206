"""``-m p2bot/seq2seq``: ParlAI's Seq2Seq with attention, under Table 1's conditions."""

from parlai.agents.seq2seq.seq2seq import Seq2seqAgent as StockSeq2seqAgent

from p2bot_parlai.agents.baseline import BaselineGenerator
from p2bot_parlai.agents.options import inherited

SHAPE = ("hiddensize", "embeddingsize", "numlayers", "bidirectional", "rnn_class")
SHAPE += ("attention", "attention_length", "attention_time", "decoder", "lookuptable")
SHAPE += ("numsoftmax",)


class Seq2seqAgent(BaselineGenerator, StockSeq2seqAgent):
    """
    The network and its options are those of ``-m seq2seq``. What is ours: it reads what the
    Transmitter reads (the persona is never dropped), no word is unknown to it, and it
    reports perplexity per word. Attention is on, after Bahdanau et al. (2015).
    """

    WITHOUT_MEANING = inherited.OF_SEQ2SEQ
    SHAPE_OPTIONS = SHAPE
    DEFAULTS = {**BaselineGenerator.DEFAULTS, "attention": "concat", "lookuptable": "all"}

    def build_network(self):
        return StockSeq2seqAgent.build_model(self)
