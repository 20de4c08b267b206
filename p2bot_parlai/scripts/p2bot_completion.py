"""``parlai p2bot_completion``: sub-commands, options and values by Tab, in bash, zsh and fish."""

from pathlib import Path

from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai import completion
from p2bot_parlai.errors import P2botError


def setup_args() -> ParlaiParser:
    parser = ParlaiParser(
        False,
        False,
        "Write a script that completes the parlai command by Tab. bash: "
        "parlai p2bot_completion --outfile ~/.parlai_completion, and in ~/.bashrc: "
        "source ~/.parlai_completion",
    )
    group = parser.add_argument_group("Completion")
    group.add_argument("--shell", choices=completion.SHELLS, default="bash", help="Which shell")
    group.add_argument(
        "--outfile", "--out", type=str, default=None, help="File to write; without it: print"
    )
    return parser


@register_script("p2bot_completion")
class P2botCompletion(ParlaiScript):
    """The script that lets a shell (--shell) complete the parlai command by Tab."""

    @classmethod
    def setup_args(cls):
        return setup_args()

    def run(self) -> None:
        script, out = completion.write(self.opt["shell"]), self.opt["outfile"]
        if not out:
            print(script)
            return
        try:
            Path(out).expanduser().write_text(script + "\n", encoding="utf-8")
        except OSError as error:
            raise P2botError(f"--outfile {out}: {error.strerror or error}") from error
        print(f"wrote {out}")


if __name__ == "__main__":
    P2botCompletion.main()
