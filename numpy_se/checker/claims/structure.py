"""Claims from how outputs depend on entries: the whole Jacobian is known from differences.

They say less than a cause, and are looked for last: which entries are right, and what the wrong
ones have in common with the right ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from numpy_se.checker.claims.common import CLOSE, Claim, Claims, Gradient
from numpy_se.contract import Array

FAR = 1e-3  # how far numbers differ at least, to depend on an index
ENOUGH = 3  # right entries beside wrong ones


def of_jacobian(g: Gradient) -> Claims:
    """Yield what becomes of ``dy`` when it is led through the Jacobian in a wrong way."""
    uses = g.look.slopes[g.number].central[:-1]  # (entries, outputs)
    dy = np.ravel(g.dy)
    if g.right.size == dy.size:
        forwards = (dy @ uses).reshape(g.right.shape)
        words = "the Jacobian J is not transposed: it is J dy, where J.T dy is wanted"
        yield Claim("any.not-transposed", words, g.given, forwards)
    depends = np.abs(uses) > CLOSE * np.abs(uses).max(initial=0)
    if (depends.sum(axis=1) > 1).any():
        places = np.arange(len(uses))
        last = depends.shape[1] - 1 - depends[:, ::-1].argmax(axis=1)
        hint = " (overwritten? += at equal indices adds once; np.add.at adds them all)"
        for word, column, why in (
            ("last", last, hint),
            ("first", depends.argmax(axis=1), ""),
        ):
            one = (uses[places, column] * dy[column]).reshape(g.right.shape)
            words = f"only the {word} output that an entry reaches counts{why}"
            yield Claim("any.one-use", words, g.given, one)


def of_entries(g: Gradient) -> Claims:
    """Yield what right and wrong entries have in common."""
    given, right = g.given, g.right
    scale = CLOSE * max(np.abs(right).max(), np.abs(given).max())
    same = np.abs(given - right) <= scale
    if (same & (np.abs(right) > scale)).sum() >= ENOUGH:
        none, nothing = np.abs(given) <= scale, np.abs(right) <= scale
        if (same | none).all():
            words = "some entries are 0, and the others right: something is left out"
            yield Claim("any.entries-left-out", words, np.where(none, right, given), right)
        if (same | nothing).all():
            words = "some entries should be 0, and the others are right (a mask?)"
            yield Claim("any.mask-missing", words, np.where(nothing, 0, given), right)
        words = "the signs of some entries are wrong, and all else is right"
        yield Claim("any.signs", words, np.abs(given), np.abs(right))
    for axis, letter in enumerate(g.axes):
        rest = tuple(k for k in range(given.ndim) if k != axis)
        if given.size // given.shape[axis] < 2:
            continue
        for words, part in _differences(g, rest):
            words = f"{words} for each index of {letter}"
            if _varies(part, axis):
                yield Claim("any.difference-per-axis", words, given, right + part)
        norm = (right * right).sum(axis=rest, keepdims=True)
        share = (given * right).sum(axis=rest, keepdims=True) / np.where(norm > 0, norm, 1)
        if _varies(share, axis):
            words = f"it is the right one times a number for each index of {letter}"
            yield Claim("any.factor-per-axis", words, given, share * right)


def _varies(part: Array, axis: int) -> bool:
    """Tell whether numbers differ from index to index of an axis."""
    middle = part.mean(axis=axis, keepdims=True)
    return bool(np.abs(part - middle).max() > FAR * np.abs(part).max(initial=1e-300))


def _differences(g: Gradient, rest: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """What differs from the right gradient by one number for each index of an axis."""
    difference = g.given - g.right
    yield "it is off by one number", difference.mean(axis=rest, keepdims=True) + 0 * g.right
    norm = (g.arg * g.arg).sum(axis=rest, keepdims=True)
    share = (difference * g.arg).sum(axis=rest, keepdims=True) / np.where(norm > 0, norm, 1)
    yield f"it is off by a multiple of {g.name}", share * g.arg
