"""
What extends or mends ParlAI for our own agents and tasks.

ParlAI's own requirements cannot be resolved on today's Python, so pip must be told to leave them
out; that cannot be written in the package's requirements, and a user meets it here.
"""

from importlib.util import find_spec

if find_spec("parlai") is None:
    raise ImportError(
        "this part of p2bot_parlai needs ParlAI, which is not installed. Install it with: "
        "pip install --no-deps parlai==1.7.2"
    )
if find_spec("pkg_resources") is None:
    raise ImportError(
        "ParlAI imports pkg_resources, which setuptools no longer has. Install one that has it: "
        'pip install "setuptools<80.9"'
    )
