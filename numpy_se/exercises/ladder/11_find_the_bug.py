"""Find the bug: three wrong backwards.

    center        a (N, D)           ->  y (N, D)    each row minus its mean
    weighted_sum  p (N, D), w (D,)   ->  y (N,)      one number for each row
    gate          x (N, D), s (N, D) ->  y (N, D)    x times tanh(s)

The forward passes are right. Each backward has one bug: mend da, dp and dw, dx
and ds. Try to see the bugs before you run the check, which tells the first one.
(It joins the three outputs to one y.)
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 20
SHAPES = {"a": "N D", "p": "N D", "w": "D", "x": "N D", "s": "N D"}
GIVEN = ("y",)
IN_STEPS = True
HINTS = (
    "For each gradient, ask two things: is each use of the argument there? And is\n"
    "the slope taken where the forward pass took it?",
    "da[n,d] = dy[n,d] - 1/D * sum over e of dy[n,e]\n"
    "dw[d]   = sum over n of p[n,d] * dy[n]\n"
    "ds[n,d] = x[n,d] * dy[n,d] * (1 - t[n,d]^2)   where t = tanh(s)",
    """
    return dy - dy.mean(axis=___, keepdims=True)      # center
    return np.outer(dy, w), ___ @ dy                  # weighted_sum
    return dy * t, dy * x * (1 - ___**2)              # gate
    """,
)


def center(a):
    y = a - a.mean(axis=1, keepdims=True)

    def backward(dy):
        return dy - dy.mean(axis=1, keepdims=True)

    return y, backward


def weighted_sum(p, w):
    y = p @ w

    def backward(dy):
        return np.outer(dy, w), p.T @ dy

    return y, backward


def gate(x, s):
    t = np.tanh(s)
    y = x * t

    def backward(dy):
        return dy * t, dy * x * (1 - t**2)

    return y, backward


def judged(center, weighted_sum, gate):
    """All three side by side: y is a row with the entries of the three outputs."""

    def all_three(a, p, w, x, s):
        results = [center(a), weighted_sum(p, w), gate(x, s)]
        ends = np.cumsum([y.size for y, _ in results])[:-1]

        def backward(dy):
            grads = []
            for part, (y, back) in zip(np.split(dy, ends), results, strict=True):
                given = back(part.reshape(y.shape))
                grads += given if isinstance(given, tuple | list) else [given]
            return tuple(grads)

        return np.concatenate([y.ravel() for y, _ in results]), backward

    return all_three


MISTAKES = (
    Mistake(
        "find-the-bug.center",
        "dy - dy.mean(axis=1, keepdims=True)",
        "dy.copy()",
        hint="One entry of a row grows. What happens to the other entries of y?",
        why="An entry is in the mean too, which is taken from all entries of its row.",
        says="the way through the mean is missing",
    ),
    Mistake(
        "find-the-bug.weighted-sum",
        "p.T @ dy",
        "p.sum(axis=0) * dy.sum()",
        hint="Is 1*2 + 3*4 the same as (1 + 3) * (2 + 4)?",
        why="Each row of p belongs to its own dy. Pair them first, then add.",
        says="the sums of p and dy are multiplied, not their products summed",
    ),
    Mistake(
        "find-the-bug.gate",
        "1 - t**2",
        "1 - s**2",
        hint="How steep is tanh at s = 3, and what do you give there?",
        why="The rule of tanh is written with its value, not with its argument.",
        says="s in place of tanh(s)",
    ),
    Mistake(
        "find-the-bug.center-axis",
        "dy - dy.mean(axis=1, keepdims=True)",
        "dy - dy.mean(axis=0, keepdims=True)",
        hint="Over which axis does the forward pass take its mean?",
        why="The way back crosses the same entries as the way there: those of a row.",
        says="the mean is taken over the other axis",
    ),
    Mistake(
        "find-the-bug.not-squared",
        "1 - t**2",
        "1 - t",
        hint="tanh is as steep at -1 as at 1. Is yours?",
        why="The slope of tanh is 1 - t^2, which is the same for t and -t.",
        says="tanh(s) is not squared",
    ),
)
STUB = MISTAKES[:3]
