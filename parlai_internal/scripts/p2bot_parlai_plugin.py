"""ParlAI imports every module here before it parses a command; this one registers P²Bot.

parlai_internal and parlai_internal.scripts are namespace packages on purpose (no __init__.py):
other packages may add their own modules beside this one.
"""

try:
    from p2bot_parlai import plugin

    plugin.register()
except Exception:  # ParlAI would swallow an ImportError, and any other would end every command
    import sys
    import traceback

    print("p2bot_parlai could not be set up, so -m p2bot will be unknown:", file=sys.stderr)
    traceback.print_exc()
