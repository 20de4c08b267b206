"""Makes P²Bot's names known to the stock `parlai` command.

ParlAI turns a short name into a module path: `-m p2bot` into parlai.agents.p2bot.p2bot,
`-t p2bot:x` into parlai.tasks.p2bot.agents, `zoo:p2bot/x` into parlai.zoo.p2bot.x. The folder
`parlai_names` holds packages of exactly these names, whose modules only re-export: a class has one
home, below p2bot_parlai, and that home is what a saved .opt names.

To add    create                                        and re-export it in
an agent  p2bot_parlai/agents/x.py with XAgent          parlai_names/agents/p2bot/x.py
a task    tasks/x/agents.py with XTeacher               parlai_names/tasks/p2bot/agents.py
a world   tasks/x/worlds.py with XWorld                 parlai_names/tasks/p2bot/worlds.py
a preset  zoo/x.opt (used as `-o p2bot/x`)              nothing
a command p2bot_parlai/scripts/x.py (@register_script)  nothing
"""

import importlib
import pkgutil
import sys
from pathlib import Path

from p2bot_parlai.parlai_support.names import SHORT_NAME, full_model_path

NAMES = Path(__file__).parent / "names"


def register_names() -> None:
    """Let parlai.agents, parlai.tasks and parlai.zoo find our names too. Imports nothing heavy."""
    for kind in ("agents", "tasks", "zoo"):
        path = importlib.import_module(f"parlai.{kind}").__path__
        folder = str(NAMES / kind)
        if folder not in path:
            path.append(folder)


def register() -> None:
    """Everything the `parlai` command needs of us: compatibility, names, presets, sub-commands.

    ParlAI has already listed parlai.scripts when it lets plug-ins in (core/script.py:31), so a
    longer `__path__` would come too late: our sub-commands are imported here instead.
    """
    from p2bot_parlai import scripts
    from p2bot_parlai.parlai_support import convai2_files, opt_files, shims, training_loop
    from p2bot_parlai.plugin import command
    from p2bot_parlai.plugin.chat_worlds import install_worlds

    command.install()
    shims.apply()
    register_workers()
    opt_files.install()
    training_loop.install()
    convai2_files.install()
    install_worlds()
    register_names()
    register_presets()
    for module in pkgutil.iter_modules(scripts.__path__, scripts.__name__ + "."):
        importlib.import_module(module.name)


def register_presets() -> None:
    """Let `-o p2bot/<name>` read <name>.opt in our zoo folder.

    ParlAI looks for presets in its own folder, the user's and parlai_internal's (core/opt.py:157).
    The last would be ours to use, were it not hidden where a user has a parlai_internal too.
    """
    from parlai.core.opt import Opt

    from p2bot_parlai import zoo
    from p2bot_parlai.errors import UsageError

    stock = Opt.load_init.__func__
    if getattr(stock, "knows_p2bot", False):
        return

    def find(cls, optfile: str) -> Opt:
        folder, _, name = optfile.partition("/")
        if folder != SHORT_NAME or "," in optfile or Path(optfile).exists():
            return stock(cls, optfile)
        presets = Path(zoo.__file__).parent
        if (presets / f"{name}.opt").is_file():
            return cls.load(str(presets / f"{name}.opt"))
        try:
            return stock(cls, optfile)
        except FileNotFoundError as error:
            known = ", ".join(f"{SHORT_NAME}/{file.stem}" for file in sorted(presets.glob("*.opt")))
            raise UsageError(
                f"-o {optfile}: there is neither such a file nor such a preset; presets: {known}"
            ) from error

    def load_init(cls, optfile: str) -> Opt:
        opt = find(cls, optfile)
        if opt.get("model"):  # what a file says does not pass the type of --model
            opt["model"] = full_model_path(opt["model"])
        return opt

    load_init.knows_p2bot = True
    Opt.load_init = classmethod(load_init)


# ---------------------------------------- what multiprocessing_train and _eval run
def register_workers() -> None:
    """Put our workers in the place of ParlAI's, in the scripts that are imported by now."""
    from p2bot_parlai.parlai_support import shims

    for script, worker in (
        ("multiprocessing_train", multiprocess_train),
        ("multiprocessing_eval", multiprocess_eval),
    ):
        module = sys.modules.get(f"parlai.scripts.{script}")
        if module is not None:
            shims._replace(module, worker.__name__, worker)


def multiprocess_train(*args, **kwargs):
    """Body of one training process. A spawned child gets it by module and name, and so imports us:
    that is how the shims and our short names reach the child before ParlAI does anything."""
    import parlai.scripts.multiprocessing_train  # noqa: F401  (register() patches what is imported)

    from p2bot_parlai.parlai_support import shims

    register()
    return shims._originals["multiprocess_train"](*args, **kwargs)


def multiprocess_eval(*args, **kwargs):
    """Body of one evaluation process: see multiprocess_train."""
    import parlai.scripts.multiprocessing_eval  # noqa: F401

    from p2bot_parlai.parlai_support import shims

    register()
    return shims._originals["multiprocess_eval"](*args, **kwargs)
