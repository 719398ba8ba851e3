"""What a wrong gradient may be instead of the right one, for any operation.

Each claim is an equation between what backward gave and what it would give if somebody had made
this one mistake. A claim that holds at all sizes that were tried is a cause. So a factor 20 is not
taken for H*W when it is 4*C.
"""

from numpy_se.checker.claims.common import Claim, Claims, Gradient, holds
from numpy_se.checker.claims.places import places
from numpy_se.checker.claims.shape import of_shape
from numpy_se.checker.claims.structure import of_entries, of_jacobian
from numpy_se.checker.claims.value import (
    of_constants,
    of_order,
    of_parts,
    of_places,
    of_upstream,
    of_values,
)

__all__ = ["Claim", "Claims", "Gradient", "generic", "holds", "places", "simple", "structural"]


def simple(g: Gradient) -> Claims:
    """Claims that leave nothing to explain: a wrong shape, a constant, ``dy`` misused."""
    if g.given.shape != g.right.shape:
        yield from of_shape(g)
    else:
        yield from of_constants(g)
        yield from of_upstream(g)
        yield from of_order(g)


def generic(g: Gradient) -> Claims:
    """Further claims that need no knowledge of the operation."""
    if g.given.shape == g.right.shape:
        yield from of_places(g)
        yield from of_values(g)


def structural(g: Gradient) -> Claims:
    """Claims that describe more than they explain; they want some entries to look at."""
    if g.given.shape == g.right.shape:
        yield from of_jacobian(g)
        yield from of_parts(g, one_size=True)
        yield from of_entries(g)
