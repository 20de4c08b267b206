from p2bot_parlai.agents.ir_perception import IrPerceptionAgent  # noqa: F401
