"""A central difference: measure a slope.

    f(x)  |          /            slope at x, about:
          |        /
          |      o  f(x + h)      f(x + h) - f(x - h)
          |    /                  -------------------
          |  o  f(x - h)                  2 h
          +--------------- x

f takes an array x of any shape and gives one number. Nudge one entry of x at a
time by h to both sides, and give all slopes, in the shape of x:

    dx[k] = (f(x with x[k] + h) - f(x with x[k] - h)) / (2 h)

The check takes it as the backward of y = sum(x^2) + sum(x)^2, where it should
be exact. All exercises behind this one are checked by such differences.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 15
SHAPES = {"x": "N D"}
GIVEN = ("y",)
HINTS = (
    "When you have nudged one entry, and go to the next: where is the first one?",
    "dx[i,j] = (f(x + h e) - f(x - h e)) / (2 h)\n"
    "where e is 1 at (i, j), and 0 at all other places.",
    """
    dx = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = ___
        dx[place] = (f(___) - f(___)) / ___
    return dx
    """,
)
STUB = """
def central_difference(f, x, h):
    dx = ...
    return dx
"""


def central_difference(f, x, h):
    dx = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = h
        dx[place] = (f(x + step) - f(x - step)) / (2 * h)
    return dx


def judged(central_difference):
    """A quadratic function, with differences as its backward. They are exact for any step."""

    def f(x):
        return np.sum(x**2) + np.sum(x) ** 2

    def quadratic(x):
        def backward(dy):
            step = 0.1 + 0.1 * np.abs(x).max()
            return central_difference(lambda x: dy * f(x), x.copy(), step)

        return f(x), backward

    return quadratic


MISTAKES = (
    Mistake(
        "central-difference.one-sided",
        "(f(x + step) - f(x - step)) / (2 * h)",
        "(f(x + step) - f(x)) / h",
        hint="Draw a parabola. Does a line through x and x + h have its slope at x?",
        why="A one-sided difference is wrong by about h. To both sides, this cancels.",
        says="the difference is taken to one side only",
    ),
    Mistake(
        "any.factor-too-large",
        "(2 * h)",
        "h",
        hint="How far apart are the two places where you take f?",
        why="From x - h to x + h it is 2 h.",
    ),
    Mistake(
        "central-difference.product",
        "/ (2 * h)",
        "/ 2 * h",
        hint="Which of the two does Python do first in 8 / 2 * 4?",
        why="Python divides by 2, and multiplies the result with h.",
        says="it is multiplied with h, not divided by it",
    ),
    Mistake(
        "any.sign",
        "f(x + step) - f(x - step)",
        "f(x - step) - f(x + step)",
        hint="Where f grows, is your slope above 0?",
        why="The value in front comes first: what f is at x + h, minus what it was.",
    ),
    Mistake(
        "central-difference.not-reset",
        "    for place in np.ndindex(x.shape):\n        step = np.zeros_like(x)\n",
        "    step = np.zeros_like(x)\n    for place in np.ndindex(x.shape):\n",
        hint="How many entries of x are nudged when you come to the last one?",
        why="One entry is nudged at a time. The one before has to go back first.",
        says="entries that were nudged before are not put back",
    ),
    Mistake(
        "central-difference.left-below",
        """\
        step = np.zeros_like(x)
        step[place] = h
        dx[place] = (f(x + step) - f(x - step)) / (2 * h)
""",
        """\
        x[place] += h
        above = f(x)
        x[place] -= 2 * h
        dx[place] = (above - f(x)) / (2 * h)
""",
        hint="When you have nudged one entry, and go to the next: where is the first one?",
        why="Each entry is left at x - h, while the next one is nudged.",
        says="entries that were nudged before are left at x - h",
    ),
)
