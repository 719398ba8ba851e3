"""A gradient checker that says which mistake was made, and only what it knows.

One check runs down this list:

check.py        gradcheck, and the plan of a check
case.py         the arguments: axes, sizes, domains, and values that are drawn (shapes.py reads)
look.py         one look: an operation at one set of arguments
run.py          forward and backward; what must hold besides numbers
slopes.py       slopes by differences, and the error that they have
truth.py        whether a gradient is wrong, measured by other means; what is legal at a kink
properties.py   what must hold for every backward, and needs no differences
report.py       the report
name.py         the causes: what fits at all sizes
claims/         what a wrong gradient may be instead, for any operation
mistakes/       what people get wrong in one particular operation: a registry
shrink.py       the smallest arguments that show the error

findings.py is the data that these hand on, words.py writes lists and exceptions in one line. Around
it: adapt.py and layers.py take backwards in other styles than ``y, backward = op(x)``, reference.py
holds a forward pass beside a right one, target.py reads what somebody's file defines, judge/ checks
it in a process of its own, and __main__.py does so at the shell.
"""

from numpy_se.checker.adapt import from_cache, from_class, from_layer
from numpy_se.checker.check import assert_gradients, gradcheck
from numpy_se.checker.findings import Cause, Finding, Kind
from numpy_se.checker.report import GradientError, GradientReport

__all__ = [
    "Cause",
    "Finding",
    "GradientError",
    "GradientReport",
    "Kind",
    "assert_gradients",
    "from_cache",
    "from_class",
    "from_layer",
    "gradcheck",
]
