from p2bot_parlai.agents.seq2seq import Seq2seqAgent  # noqa: F401
