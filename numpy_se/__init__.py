"""Squeeze-and-Excitation networks in pure NumPy, with every backward pass written by hand."""

from numpy_se.gradcheck import GradientReport, assert_gradients, gradcheck
from numpy_se.ops import *  # noqa: F403
from numpy_se.ops import __all__ as _ops
from numpy_se.se import excitation, excite, reduced_width, squeeze_excite

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
