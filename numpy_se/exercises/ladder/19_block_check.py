"""Write a check: which SE blocks are right.

    block --->  y, backward = block(x, w1, w2)
                dx, dw1, dw2 = backward(dy)          as in exercise 18
    is_right(block, x, w1, w2) -> True or False

There are eleven blocks. Three are right, in different styles: their last digits
differ. Eight have a backward that is wrong, in one gradient or in several. All
forward passes are right. Compare each entry of each gradient with a central
difference of L = sum(y * dy).

The check calls is_right for each block, with small arrays, and makes a row of
the answers: y[k] = x[k] if block k is accepted, else 0. So "y[5] is 0" says
that block 5 was rejected. You do not have to look after dx here.
"""

import numpy as np

from numpy_se import squeeze_excite
from numpy_se.exercises import Mistake

MINUTES = 40
SHAPES = {"x": (11,)}
GIVEN = ("dx",)
HINTS = (
    "Which dy makes two wrong gradients differ: all ones, or random numbers? And\n"
    "how much may two right numbers differ?",
    "slope of a[k] = (L(a[k] + h) - L(a[k] - h)) / (2 h)\n"
    "Accept it if abs(slope - da[k]) < 1e-6 for all k of x, w1 and w2.",
    """
    args = [x.copy(), w1.copy(), w2.copy()]
    y, backward = block(*args)
    dy = ___
    for a, da in zip(args, backward(dy)):
        for place in np.ndindex(a.shape):
            middle = a[place]
            a[place] = middle + 1e-5
            above = np.sum(block(*args)[0] * ___)
            a[place] = ___
            below = ___
            a[place] = ___
            if abs(___ - da[place]) > 1e-6:
                return False
    return True
    """,
)
STUB = """
def is_right(block, x, w1, w2):
    return True
"""


def is_right(block, x, w1, w2):
    args = [x.copy(), w1.copy(), w2.copy()]
    y, backward = block(*args)
    dy = np.random.default_rng(0).standard_normal(y.shape)
    for a, da in zip(args, backward(dy), strict=True):
        for place in np.ndindex(a.shape):
            middle = a[place]
            a[place] = middle + 1e-5
            above = np.sum(block(*args)[0] * dy)
            a[place] = middle - 1e-5
            below = np.sum(block(*args)[0] * dy)
            a[place] = middle
            if abs((above - below) / 2e-5 - da[place]) > 1e-6:
                return False
    return True


def judged(is_right):
    """A row x, and 0 in place of the blocks that are rejected."""
    rng = np.random.default_rng(0)
    args = [rng.standard_normal(shape) for shape in ((2, 3, 2, 3), (2, 3), (3, 2))]
    accepted = np.array([bool(is_right(block, *args)) for block in blocks()])

    def answers(x):
        return x * accepted, lambda dy: dy * accepted

    return answers


def blocks():
    """Three right blocks, and eight wrong ones."""
    from numpy_se.exercises.exercise import find

    block = find("se_block")
    wrong = [block.spoiled(mistake) for mistake in block.mistakes[:6]]
    return [block.op, squeeze_excite, by_loops, *wrong, by_factor(0, 1.01), by_factor(2, -1)]


def by_loops(x, w1, w2):
    """The SE block sample by sample."""
    results = [squeeze_excite(sample[None], w1, w2) for sample in x]

    def backward(dy):
        grads = [back(d[None]) for (_, back), d in zip(results, dy, strict=True)]
        dx, dw1, dw2 = zip(*grads, strict=True)
        return [np.concatenate(dx), sum(dw1), sum(dw2)]

    return np.concatenate([y for y, _ in results]), backward


def by_factor(number, factor):
    """A block with a factor too much in one gradient."""

    def block(x, w1, w2):
        y, backward = squeeze_excite(x, w1, w2)

        def wrong(dy):
            grads = list(backward(dy))
            grads[number] = factor * grads[number]
            return grads

        return y, wrong

    return block


MISTAKES = (
    Mistake(
        "block-check.only-dx",
        "zip(args, backward(dy), strict=True)",
        "zip(args[:1], backward(dy)[:1], strict=True)",
        hint="How many gradients does a block give? Which of them do you look at?",
        why="dx may be right where dw2 is wrong.",
        says="the block that is wrong in dw2 alone is accepted, and no other wrong one",
    ),
    Mistake(
        "block-check.loose",
        "> 1e-6",
        "> 0.1",
        hint="A gradient is wrong by one part in a hundred. Do you see it?",
        why="Differences are right to about 1e-9 here. A mistake may be 1 % only.",
        says="the block that is wrong by 1 % is accepted, and no other wrong one",
    ),
    Mistake(
        "block-check.ones",
        "np.random.default_rng(0).standard_normal(y.shape)",
        "np.ones(y.shape)",
        hint="A block ignores dy and takes 1 in its place. For which dy is it right?",
        why="With ones, dy and 1 are the same, and so are sums and means of dy.",
        says="the block that ignores dy in ds is accepted, and no other wrong one",
    ),
    Mistake(
        "block-check.none",
        "> 1e-6",
        "> 0",
        hint="Measure a slope with two steps. Are all digits the same?",
        why="Differences are rounded, and so are gradients. Nothing is equal.",
        says="no block is accepted, and no right one either",
    ),
    Mistake(
        "block-check.all",
        "                return False\n",
        "                break\n",
        hint="Is there a block that you reject?",
        why="What was found has to leave the function.",
        says="all blocks are accepted",
    ),
)
