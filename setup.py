"""Where the packages are: tasks/ and zoo/ are beside p2bot_parlai/. The rest: pyproject.toml."""

from setuptools import find_namespace_packages, find_packages, setup


def mapped(folder: str) -> list[str]:
    """The packages in top-level `folder`, by the names they are installed under."""
    inner = (f"p2bot_parlai.{folder}.{name}" for name in find_packages(folder))
    return [f"p2bot_parlai.{folder}", *inner]


setup(
    packages=[
        *find_packages(include=["p2bot_parlai", "p2bot_parlai.*"]),
        *mapped("tasks"),
        *mapped("zoo"),
        *find_namespace_packages(include=["parlai_internal", "parlai_internal.*"]),
    ],
    package_dir={"p2bot_parlai.tasks": "tasks", "p2bot_parlai.zoo": "zoo"},
)
