"""A gradient checker that says which mistake was made.

slopes.py       slopes by differences, and the error that they have
kinks.py        where there is no slope, and what is legal there
promises.py     what must hold besides numbers: shapes, nothing changed, nothing shared
properties.py   what must hold for every backward: linear in dy, batch by batch, ...
sample.py       the verdict at one set of arguments
arguments.py    axes and sizes of the arguments; drawing others
claims/         what a wrong gradient may be instead, for any operation
mistakes/       what people get wrong in one particular operation
diagnosis.py    which of these fit; the smallest arguments that show the error
report.py       the report
check.py        gradcheck itself
reference.py    the forward pass beside a right one
styles.py       backwards in other styles than ``y, backward = op(x)``
file.py         the check of a function in somebody's file, and __main__.py, at the shell
"""

from numpy_se.checker.check import assert_gradients, gradcheck
from numpy_se.checker.report import GradientError, GradientReport
from numpy_se.checker.styles import from_cache, from_class, from_layer

__all__ = [
    "GradientError",
    "GradientReport",
    "assert_gradients",
    "from_cache",
    "from_class",
    "from_layer",
    "gradcheck",
]
