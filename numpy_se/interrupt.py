"""Ctrl-C in one line, also while a command is still loading its modules."""

from __future__ import annotations

import sys
from types import TracebackType


def hide_traces_of_ctrl_c() -> None:
    """Let Python say ``interrupted`` where it would print the trace of a KeyboardInterrupt."""
    show = sys.excepthook

    def show_in_short(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if kind is KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
        else:
            show(kind, error, trace)

    sys.excepthook = show_in_short
