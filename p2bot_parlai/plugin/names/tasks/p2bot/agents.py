"""Teachers by their short names: `-t p2bot:selfplay` takes SelfplayTeacher from here.

One line for each: from p2bot_parlai.tasks.<task>.agents import <Task>Teacher
"""

from p2bot_parlai.tasks.chat.agents import ChatTeacher  # noqa: F401
from p2bot_parlai.tasks.persona_nli.agents import (  # noqa: F401
    EntailedPairsTeacher,
    PersonaNliTeacher,
)
from p2bot_parlai.tasks.persona_perception.agents import PersonaPerceptionTeacher  # noqa: F401
from p2bot_parlai.tasks.selfplay.agents import SelfplayTeacher  # noqa: F401
from p2bot_parlai.tasks.sketch.agents import SketchTeacher  # noqa: F401
