"""Makes P²Bot's names known to the stock `parlai` command.

ParlAI turns a short name into a module path: `-m p2bot` into parlai.agents.p2bot.p2bot,
`-t p2bot:x` into parlai.tasks.p2bot.agents, `zoo:p2bot/x` into parlai.zoo.p2bot.x. The folder
`names` holds packages of exactly these names, whose modules only re-export: a class has one
home, below p2bot_parlai, and that home is what a saved .opt names.

To add    create                                        and re-export it in
an agent  p2bot_parlai/agents/x.py with XAgent          plugin/names/agents/p2bot/x.py
a task    tasks/x/agents.py with XTeacher               plugin/names/tasks/p2bot/agents.py
a world   tasks/x/worlds.py with XWorld                 plugin/names/tasks/p2bot/worlds.py
a preset  zoo/x.opt (used as `-o p2bot/x`)              nothing
a command p2bot_parlai/scripts/x.py (@register_script)  nothing
"""

import importlib
import pkgutil
from pathlib import Path

from p2bot_parlai.parlai_support.names import SHORT_NAME, full_model_path, register_names
from p2bot_parlai.parlai_support.patching import Patch, undo

__all__ = ["register", "undo"]


def register() -> None:
    """Everything the `parlai` command needs of us: names, presets, sub-commands and patches.

    The patches act where the agent, the model file or the task is ours; those of `shims`, without
    which ParlAI does not run, act for everyone. `undo` takes all of them back.

    ParlAI has already listed parlai.scripts when it lets plug-ins in (core/script.py:31), so a
    longer `__path__` would come too late: our sub-commands are imported here instead.
    """
    from parlai.core.opt import Opt
    from parlai.scripts import multiprocessing_eval, multiprocessing_train

    from p2bot_parlai import scripts
    from p2bot_parlai.parlai_support import (
        convai2_files,
        opt_files,
        sharding,
        shims,
        torchrun,
        training_loop,
        varying,  # noqa: F401
    )
    from p2bot_parlai.plugin import command, output
    from p2bot_parlai.plugin.chat_worlds import install_worlds

    command.install()
    shims.install()
    torchrun.install()
    sharding.install()
    opt_files.install()
    training_loop.install()
    convai2_files.install()
    install_worlds()
    output.install()
    register_names()
    Patch(Opt, "load_init", with_our_presets).apply()
    Patch(multiprocessing_train, "multiprocess_train", with_our_training_worker).apply()
    Patch(multiprocessing_eval, "multiprocess_eval", with_our_evaluation_worker).apply()
    for module in pkgutil.iter_modules(scripts.__path__, scripts.__name__ + "."):
        importlib.import_module(module.name)


def with_our_presets(stock):
    """Let `-o p2bot/<name>` read <name>.opt in our zoo folder.

    ParlAI looks for presets in its own folder, the user's and parlai_internal's (core/opt.py:157).
    The last would be ours to use, were it not hidden where a user has a parlai_internal too.
    """
    from p2bot_parlai import zoo
    from p2bot_parlai.errors import UsageError

    def find(cls, optfile: str):
        folder, _, name = optfile.partition("/")
        ours = folder == SHORT_NAME and "," not in optfile and not Path(optfile).exists()
        presets = Path(zoo.__file__).parent
        if ours and (presets / f"{name}.opt").is_file():
            return cls.load(str(presets / f"{name}.opt"))
        try:
            return stock.__get__(None, cls)(optfile)
        # pkg_resources cannot look into a namespace package, which parlai_internal is by us
        except (FileNotFoundError, TypeError) as error:
            if not ours:
                raise FileNotFoundError(f"-o {optfile}: no such file or preset") from error
            known = ", ".join(f"{SHORT_NAME}/{file.stem}" for file in sorted(presets.glob("*.opt")))
            raise UsageError(
                f"-o {optfile}: there is neither such a file nor such a preset; presets: {known}"
            ) from error

    def load_init(cls, optfile: str):
        opt = find(cls, optfile)
        if opt.get("model"):  # what a file says does not pass the type of --model
            opt["model"] = full_model_path(opt["model"])
        return opt

    return classmethod(load_init)


# ---------------------------------------- what multiprocessing_train and _eval run
# A spawned process gets its worker by module and name, and so imports us: that is how the shims
# and our short names reach it before ParlAI does anything.
_stock_workers: dict = {}


def with_our_training_worker(stock):
    _stock_workers["train"] = stock
    return multiprocess_train


def with_our_evaluation_worker(stock):
    _stock_workers["eval"] = stock
    return multiprocess_eval


def multiprocess_train(*args, **kwargs):
    """Body of one training process."""
    register()
    return _stock_workers["train"](*args, **kwargs)


def multiprocess_eval(*args, **kwargs):
    """Body of one evaluation process."""
    register()
    return _stock_workers["eval"](*args, **kwargs)
