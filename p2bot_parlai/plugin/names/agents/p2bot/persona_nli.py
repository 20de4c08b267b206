from p2bot_parlai.agents.persona_nli import PersonaNliAgent  # noqa: F401
