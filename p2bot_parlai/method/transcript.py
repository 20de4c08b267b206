"""Self-play dialogues to read: both personas, every utterance, every reward."""

from typing import Any


def as_text(transcript: dict[str, Any]) -> str:
    """:param transcript: what `ScoredRollouts.transcript` returns."""
    lines = []
    for title, persona in (
        ("user (frozen)", transcript["user_persona"]),
        ("agent", transcript["agent_persona"]),
    ):
        lines.append(f"persona of the {title}:")
        lines += [f"  {sentence}" for sentence in persona]
    for turn in transcript["turns"]:
        # a sampled text may hold line breaks
        lines.append("user:  " + " ".join(turn["user"].split()))
        lines.append("agent: " + " ".join(turn["agent"].split()))
        lines.append(f"         reward {turn['reward']:.3f} = {_weighted(turn)}")
    return "\n".join(lines)


def _weighted(turn: dict[str, Any]) -> str:
    """'-1.284 (style -3.210) + ...': each weighted reward, with its raw value."""
    return " + ".join(
        f"{turn['weighted'][name]:.3f} ({name} {value:.3f})"
        for name, value in turn["rewards"].items()
    )
