"""Claims about a gradient of the right shape with the wrong numbers."""

from __future__ import annotations

from itertools import combinations, permutations, product
from typing import Any

import numpy as np

from numpy_se.contract import Array
from numpy_se.checker.claims.common import Claims, Gradient, scaled
from numpy_se.checker.claims.shape import sum_of_dy


def of_constants(g: Gradient) -> Claims:
    """Yield constants that are forgotten, or there too often."""
    sizes = {**g.sizes, **dict(zip(g.y_axes, g.y.shape, strict=True))}
    for cause, wrong in scaled(sizes, g.right):
        yield "the sign is wrong" if "sign" in cause else f"it {cause}", g.given, wrong
    factor = float((g.given * g.right).sum() / max((g.right * g.right).sum(), 1e-300))
    if f"{factor:.4g}" != "1":
        yield f"it is {factor:.4g} times the right one", g.given, factor * g.right


def of_upstream(g: Gradient) -> Claims:
    """Yield the right rule, applied to something else than all of ``dy``."""
    dy = g.dy
    yield "dy is ignored", g.given, g.right_for(np.ones_like(dy))
    yield "the sign of dy is lost", g.given, g.right_for(np.abs(dy))
    for axis, letter in enumerate(g.y_axes):
        for k, what in ((0, "first"), (-1, "last")):
            part = np.zeros_like(dy)
            at: Any = (*(slice(None),) * axis, k)
            part[at] = dy[at]
            name = "sample 0" if (letter, k) == ("N", 0) else f"the {what} of {letter} in dy"
            yield f"only {name} counts", g.given, g.right_for(part)
            yield f"only {name} counts", g.given, dy.shape[axis] * g.right_for(part)
            yield f"{name} is left out", g.given, g.right_for(dy - part)
        for what, change in (("averaged", dy.mean), ("summed", dy.sum)):
            mixed = np.broadcast_to(change(axis=axis, keepdims=True), dy.shape)
            yield f"dy is {what} over {letter}", g.given, g.right_for(mixed)
    if dy.ndim == 4:
        for h, w in ((0, 0), (-1, -1)):
            part = np.zeros_like(dy)
            part[..., h, w] = dy[..., h, w]
            yield "only one pixel of dy counts", g.given, g.right_for(part)
            spread = np.broadcast_to(dy[..., h, w][..., None, None], dy.shape)
            yield "only one pixel of dy counts, for all", g.given, g.right_for(spread)
        mean = np.broadcast_to(dy.mean(axis=(2, 3), keepdims=True), dy.shape)
        yield "dy is averaged over the map", g.given, g.right_for(mean)


def of_places(g: Gradient) -> Claims:
    """Yield the right numbers, but not everywhere, or mixed."""
    right = g.right
    for axis, letter in enumerate(g.axes):
        for what, change in (("averaged", right.mean), ("summed", right.sum)):
            mixed = np.broadcast_to(change(axis=axis, keepdims=True), right.shape)
            often = " too often" if what == "summed" else ""
            yield f"it is {what} over {letter}{often}", g.given, mixed
        first = np.broadcast_to(right.take([0], axis=axis), right.shape)
        yield f"the first of {letter} is used for all", g.given, first
        for k, what in ((0, "first"), (-1, "last")):
            alone = np.zeros_like(right)
            at: Any = (*(slice(None),) * axis, k)
            alone[at] = right[at]
            name = "sample 0" if (letter, k) == ("N", 0) else f"the {what} of {letter}"
            yield f"only {name} counts: it is not spread over {letter}", g.given, alone
            yield f"only {name} counts", g.given, alone * right.shape[axis]
            yield f"{name} is left out", g.given, right - alone
    if right.ndim == 4:
        _, _, height, width = right.shape
        for h, w in ((0, 0), (-1, -1), (height // 2, width // 2)):
            alone = np.zeros_like(right)
            alone[..., h, w] = right[..., h, w]
            yield "only one pixel counts", g.given, alone
            yield "only one pixel counts", g.given, alone * height * width


def of_order(g: Gradient) -> Claims:
    """Yield the right numbers in the wrong order."""
    right, identity = g.right, tuple(range(g.right.ndim))
    for order in permutations(identity):
        turned = right.transpose(order)
        if order != identity and turned.shape == right.shape:
            moved = " and ".join(g.axes[k] for k in identity if order[k] != k)
            words = "it is transposed" if right.ndim == 2 else f"its axes {moved} are swapped"
            yield words, g.given, turned
    pairs = [axes for count in (1, 2) for axes in combinations(identity, count)]
    for axes in pairs:
        letters = " and ".join(g.axes[k] for k in axes)
        yield f"it is flipped along {letters}", g.given, np.flip(right, axes)
    for axes in pairs:
        letters = " and ".join(g.axes[k] for k in axes)
        for steps in product((1, -1), repeat=len(axes)):
            rolled = np.roll(right, steps, axes)
            yield f"it is shifted by one along {letters}", g.given, rolled
            filled = rolled.copy()
            for axis, step in zip(axes, steps, strict=True):
                filled[(*(slice(None),) * axis, 0 if step == 1 else -1)] = 0
            yield f"it is shifted by one along {letters}", g.given, filled
    yield from sum_of_dy(g)


def of_values(g: Gradient) -> Claims:
    """Yield what lay at hand in place of the derivative, as a factor, or as a further term."""
    right, dy, arg, name = g.right, g.dy, g.arg, g.name
    others = {n: a for n, a in zip(g.sample.names, g.sample.arrays(), strict=True) if n != name}
    for word, value in {name: arg, "y": g.y, **others}.items():
        if (a := _spread(value, right)) is not None:
            yield f"a factor {word} too much", g.given, right * a
            yield f"divided by {word} where it should be multiplied by it", g.given, right / a**2
            yield f"the factor {word} is missing", g.given * a, right
    if dy.shape == right.shape:
        for word, value in {"y": g.y, name: arg}.items():
            yield f"{word} in place of the derivative", g.given, value * dy
            yield f"{word} in place of the gradient: dy is ignored", g.given, value
        yield "the derivative is missing: it is dy", g.given, dy
        yield "it is masked by the sign of dy", g.given, np.where(dy > 0, right, 0)
        yield "it is masked by the sign of y: a mask too much", g.given, np.where(g.y > 0, right, 0)
        yield "dy is multiplied to it once more", g.given, dy * right
        yield "y - dy in place of the gradient", g.given, g.y - dy
        yield "dy is missing: the path of a shortcut", g.given, right - dy
        yield "dy is added: as for the shortcut of a residual block", g.given, right + dy
    for other in others:
        wanted = g.sample.right(g.sample.names.index(other))
        yield f"it is d{other}: two gradients are swapped", g.given, wanted
    rest, norm = g.given - right, float((arg * arg).sum())
    share = float((rest * arg).sum()) / norm if norm else 0.0
    yield f"a term {share:.3g} * {name} too much (weight decay?)", rest, share * arg
    constant = float(rest.mean())
    yield f"a constant {constant:.3g} is added to it", rest, np.full_like(rest, constant)
    ordered = np.sort(np.ravel(right)), np.sort(np.ravel(g.given))
    yield "the order of the entries is wrong: the numbers are right", *ordered
    yield "it is clipped to -1 ... 1", g.given, np.clip(right, -1, 1)
    yield "it is normalised to length 1", g.given, right / max(float(np.linalg.norm(right)), 1e-300)


def _spread(a: Array, like: Array) -> Array | None:
    """Give ``a`` the shape of ``like``: entry by entry, or one number for each leading axis."""
    if a.ndim <= like.ndim and a.shape == like.shape[: a.ndim]:
        return a.reshape(a.shape + (1,) * (like.ndim - a.ndim))
    return None
