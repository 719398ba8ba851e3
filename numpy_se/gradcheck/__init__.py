"""A gradient checker that says which mistake was made.

slopes.py       differences, kinks, and the error that they have
promises.py     what must hold besides numbers: shapes, dtypes, nothing changed, nothing shared
properties.py   what must hold for every backward: linear in dy, batch by batch, ...
sample.py       the verdict at one set of arguments
arguments.py    axes and sizes of the arguments; drawing others
causes.py       what a wrong gradient may be instead, for any operation
mistakes/       what people get wrong in one particular operation
diagnosis.py    which of these fit; the smallest arguments that show the error
report.py       the report
styles.py       backwards in other styles than ``y, backward = op(x)``
__main__.py     the check of a file at the shell
"""

from numpy_se.gradcheck.check import assert_gradients, gradcheck
from numpy_se.gradcheck.report import GradientError, GradientReport
from numpy_se.gradcheck.styles import from_cache, from_class, from_layer

__all__ = [
    "GradientError",
    "GradientReport",
    "assert_gradients",
    "from_cache",
    "from_class",
    "from_layer",
    "gradcheck",
]
