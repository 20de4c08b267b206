"""
``parlai p2bot_web``: talk with the bot in a browser and see what it perceives.

    limits    what a visitor may send
    rewards   the rewards of a reply (Eq. 6-10)
    talk      one conversation: personas, messages, rewards, what the messages reveal
    page      the gradio page
    guard     middleware: host names, origins, sizes, headers; other pages use it too
    server    the guarded page on a port
"""

from importlib import import_module

from p2bot_parlai.errors import P2botError


def need_extra(*modules: str, extra: str = "web") -> None:
    """:raises P2botError: if a package of the extra is missing."""
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise P2botError(
                f'this needs {error.name}: pip install -c constraints.txt ".[{extra}]"'
            ) from error
