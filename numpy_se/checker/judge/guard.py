"""What the process of a hand-in gives up before the file runs.

An audit hook cannot be taken away again. It keeps honest hand-ins honest, and makes it harder for
others: code that means harm finds ways around it (``ctypes``), and wants a container.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import site
import sys
from collections.abc import Collection
from typing import Any

DERIVE = ("torch", "jax", "tensorflow", "autograd", "mxnet", "keras", "numpy_se")
STARTS = ("os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile",
          "os.system", "pty.spawn", "subprocess.Popen")  # fmt: skip
SIGNALS = ("os.kill", "os.killpg")
MOST_MEMORY = 1 << 32  # bytes of addresses
MOST_WRITTEN = 1 << 26  # bytes of a file
NO_INPUT = EOFError("EOF when reading a line")


def private_pipes() -> tuple[int, int]:
    """Take the pipes to the judge away from stdin and stdout; what is printed goes to stderr."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return requests, answers


def give_up(allow: Collection[str], seconds: float) -> None:
    """Limit memory, files and time, and refuse imports, processes and signals."""
    _limit(seconds)
    builtins.input = _no_input
    site.setquit()  # exit and quit
    refused = set(DERIVE) - set(allow)
    own = os.getpid()

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "import":
            name = args[0].partition(".")[0]
            if name in refused:
                raise ImportError(f"{name} is not allowed in a hand-in")
        elif event in STARTS:
            raise PermissionError("a hand-in starts no processes")
        elif event in SIGNALS and args[0] != own:
            raise PermissionError("a hand-in sends no signals")

    sys.addaudithook(hook)


def _limit(seconds: float) -> None:
    with contextlib.suppress(ImportError):  # Windows has no limits
        import resource

        limits = {
            resource.RLIMIT_AS: MOST_MEMORY,
            resource.RLIMIT_FSIZE: MOST_WRITTEN,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_CPU: int(2 * seconds) + 10,  # should the judge itself be ended
        }
        for limit, most in limits.items():
            with contextlib.suppress(ValueError, OSError):  # a lower one holds already
                resource.setrlimit(limit, (most, most))


def _no_input(*prompt: Any) -> str:
    """Stand for ``input``."""
    raise NO_INPUT
