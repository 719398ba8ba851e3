"""The judge's end of a process that holds somebody's file: requests, answers, and its end."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from numpy_se.checker.judge.wire import WireError, pack, receive
from numpy_se.checker.words import PACKAGE, escaped
from numpy_se.contract import Array

# Only what a hand-in needs of the package: no operation of it is loaded.
PROCESS = """
import sys, types
package, *path = sys.argv[1:]
sys.path += path
for name in ("numpy_se", "numpy_se.checker", "numpy_se.checker.judge"):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = ["/".join([package, *name.split(".")[1:]])]
from numpy_se.checker.judge.child import main
main()
"""
PHASES = {
    "load": "while the file was loaded",
    "check": "in the forward pass, or while gradients were checked",
    "cause": "while the cause was looked for",
}
ALONE = ("-I", "-S", "-B", "-u", "-X", "utf8")  # no folders, no settings, no delay
MOST_LINES, MOST_PRINTED = 10, 1000  # of what the file prints
SINGLE = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
POSIX = os.name == "posix"


class Unusable(BaseException):
    """The hand-in gives no more answers. No ``except Exception`` of the checker takes it."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Process:
    """A process that answers. The time that is spent waiting for it is limited.

    ``path`` are the folders of packages, ``variables`` its whole environment.
    """

    def __init__(
        self, folder: str, path: Sequence[str], variables: Mapping[str, str], seconds: float
    ) -> None:
        self.seconds, self.left, self.phase = seconds, seconds, "load"
        self.process = subprocess.Popen(
            [sys.executable, *ALONE, "-c", PROCESS, str(PACKAGE), *path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=folder,
            env={**variables, **SINGLE},
            start_new_session=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self.requests, self.answers = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.tail = bytearray()
        self.reader = threading.Thread(
            target=_keep_tail, args=(self.process.stderr, self.tail), daemon=True
        )
        self.reader.start()
        if POSIX:
            self.writable, self.readable = select.poll(), select.poll()
            self.writable.register(self.requests, select.POLLOUT)
            self.readable.register(self.answers, select.POLLIN)
            os.set_blocking(self.requests, False)
        else:  # pipes cannot be waited for
            self.timer = threading.Timer(seconds, self.process.kill)
            self.timer.daemon = True
            self.timer.start()

    def ask(self, words: Any, arrays: Sequence[Array] = ()) -> tuple[Any, list[Array]]:
        """Send a request, and wait for its answer. Raises Unusable where there is none."""
        start = time.monotonic()
        self.deadline = start + self.left
        try:
            self._send(memoryview(pack(words, arrays)))
            return receive(self._read)
        except WireError as error:
            raise Unusable("answer", f"its answer cannot be read: {error}") from error
        except (EOFError, OSError):
            raise self._ended() from None
        finally:
            self.left -= time.monotonic() - start

    def _send(self, message: memoryview) -> None:
        while message:
            if POSIX and not self.writable.poll(1000 * self._time()):
                raise self._late()
            message = message[os.write(self.requests, message) :]

    def _read(self, most: int) -> bytes:
        if POSIX and not self.readable.poll(1000 * self._time()):
            raise self._late()
        if part := os.read(self.answers, most):
            return part
        raise EOFError

    def _time(self) -> float:
        return max(0, self.deadline - time.monotonic())

    def _late(self) -> Unusable:
        slow = "a slow function, or an endless loop"
        reason = f"it takes longer than {self.seconds:g} s, {PHASES[self.phase]}: {slow}"
        return Unusable("timeout", reason)

    def _ended(self) -> Unusable:
        """Say how the process has ended."""
        if not self._time():
            return self._late()
        try:
            status = self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            return Unusable("exit", f"it closes its pipe to the judge, {PHASES[self.phase]}")
        how = f"exit status {status}"
        with contextlib.suppress(ValueError):
            how = signal.Signals(-status).name if status < 0 else how
        return Unusable("exit", f"it ends the Python process, with {how}, {PHASES[self.phase]}")

    def close(self) -> None:
        """End the process and all that it has started."""
        if not POSIX:
            self.timer.cancel()
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.reader.join(1)  # it lasts only where a process has left the group, and keeps the pipe
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe and not (pipe is self.process.stderr and self.reader.is_alive()):
                pipe.close()

    @property
    def printed(self) -> str:
        """The last lines that it printed; all are there when it is closed."""
        return _last_lines(bytes(self.tail))


def package_folders() -> list[str]:
    """The folders of installed packages, NumPy among them: nobody's files lie there."""
    names = ("site-packages", "dist-packages")
    installed = [folder for folder in sys.path if Path(folder).name in names]
    return list(dict.fromkeys([*installed, str(Path(np.__file__).parent.parent)]))


def _keep_tail(pipe: IO[bytes], tail: bytearray) -> None:
    """Read all that is printed, and keep the end: four bytes for each character, at most."""
    with contextlib.suppress(ValueError, OSError):
        while part := os.read(pipe.fileno(), 1 << 16):
            tail += part
            del tail[: -4 * MOST_PRINTED]


def _last_lines(printed: bytes) -> str:
    text = printed.decode(errors="replace").strip("\r\n")
    lines = [escaped(line) for line in re.split(r"\r?\n", text)[-MOST_LINES:]]
    return "\n".join(lines)[-MOST_PRINTED:]
