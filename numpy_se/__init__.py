"""Squeeze-and-Excitation networks in pure NumPy, with every backward pass written by hand."""

import sys
from typing import TYPE_CHECKING, Any

from numpy_se.interrupt import hide_traces_of_ctrl_c

if sys.argv[:1] == ["-m"]:  # python -m: a command is on its way
    hide_traces_of_ctrl_c()

from numpy_se.ops import *  # noqa: F403
from numpy_se.ops import __all__ as _ops
from numpy_se.se import excitation, excite, reduced_width, squeeze_excite

if TYPE_CHECKING:
    from numpy_se.checker import GradientReport, assert_gradients, gradcheck

__version__ = "0.1.0"
__all__ = [
    *_ops,
    "GradientReport",
    "assert_gradients",
    "excitation",
    "excite",
    "gradcheck",
    "reduced_width",
    "squeeze_excite",
]


def __getattr__(name: str) -> Any:
    """Load the checker when one of its names is used: most programs do not check gradients."""
    if name in ("GradientReport", "assert_gradients", "gradcheck"):
        from numpy_se import checker

        return getattr(checker, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
