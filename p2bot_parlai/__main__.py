"""`python -m p2bot_parlai COMMAND ...` is the `parlai` command with P²Bot known to it.

Needed only where a regular package called parlai_internal hides ours, through which the `parlai`
command finds P²Bot by itself.
"""

from p2bot_parlai import plugin


def main() -> None:
    from parlai.__main__ import main as parlai_main

    plugin.register()
    parlai_main()


if __name__ == "__main__":
    main()
