"""The command that runs a module of this package in a process of its own, with the import path of this one.

`python -m` would put the working folder before all else: a user's `random.py` there would be imported, and a package
that this process found elsewhere would not.
"""

import sys

_RUN = (
    "import runpy, sys; sys.path[:] = sys.argv.pop(1).split(chr(10)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command.

    Args:
        module: run as `__main__`.
        *arguments: its own.
    """
    path = "\n".join(each for each in sys.path if isinstance(each, str))
    return [sys.executable, "-P", "-c", _RUN, path, module, *arguments]
