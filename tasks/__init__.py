"""P²Bot's tasks, installed as p2bot_parlai.tasks; ParlAI's short name for them is `p2bot:`."""
