"""
What extends ParlAI, or fixes it, for our own agents and tasks.

ParlAI's requirements cannot be resolved on current Python versions, so pip must ignore them. A
package's requirements cannot say that, so this module tells the user.
"""

from importlib.util import find_spec

if find_spec("parlai") is None:
    raise ImportError(
        "this part of p2bot_parlai needs ParlAI, which is not installed. Install it with: "
        "pip install --no-deps parlai==1.7.2"
    )
if find_spec("pkg_resources") is None:
    raise ImportError(
        "ParlAI imports pkg_resources, which setuptools has removed. Install an earlier one: "
        'pip install "setuptools<80.9"'
    )
