"""
From rewards to advantages (R - b in Eq. 5): one estimator per file.

An estimator is a function of the rewards (B, N) of all dialogues of an update, over all
processes, and of the number of each dialogue's opening, int (B,); it returns advantages (B, N).
B dialogues have N turns each; the number of turns is fixed, so no dialogue ends early.
"""

from collections.abc import Callable

from torch import Tensor

from p2bot_parlai.method.advantages import grouped, grpo, leave_one_out, mean, turn

# by their names on the command line
ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": mean.advantages,
    "leave-one-out": leave_one_out.advantages,
    "turn": turn.advantages,
    "group": grouped.of_dialogues,
    "group-turn": grouped.of_turns,
    "grpo": grpo.advantages,
}
# those that compare the dialogues of one opening
OF_GROUPS = ("group", "group-turn", "grpo")
