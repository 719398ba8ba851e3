"""Claims about a gradient of the right shape with the wrong numbers."""

from __future__ import annotations

from itertools import combinations, permutations, product
from typing import Any

import numpy as np

from numpy_se.checker.claims.common import CLOSE, Claim, Claims, Gradient
from numpy_se.checker.claims.shape import sum_of_dy
from numpy_se.checker.factors import scaled_by
from numpy_se.contract import Array

USUAL = {  # what is usual behind a factor
    "small": "a mean in place of a sum?",
    "large": "a sum in place of a mean?",
}
FACTORS = {
    "small": "any.factor-too-small",
    "large": "any.factor-too-large",
    "ratio": "any.factor",
}


def of_constants(g: Gradient) -> Claims:
    """Yield constants that are forgotten, or there too often."""
    right = g.right
    for factor in scaled_by(g.sizes):
        if factor.kind == "missing":
            yield Claim("any.zero", "it is zero", g.given, 0 * right)
        elif factor.kind == "sign":
            yield Claim("any.sign", "the sign is wrong", g.given, -right)
        else:
            hint = f" ({USUAL[factor.kind]})" if factor.by_count and _is_sum(g) else ""
            words = f"it {factor.words}{hint}"
            yield Claim(FACTORS[factor.kind], words, g.given, factor.value * right)
    share = float((g.given * right).sum() / max((right * right).sum(), 1e-300))
    if abs(share - 1) > CLOSE:
        words = "it is {fitted} times the right one"
        yield Claim("any.factor", words, g.given, share * right, share)


def _is_sum(g: Gradient) -> bool:
    """Tell whether something was to be summed, or spread: the axes are not those of y."""
    return g.axes != g.y_axes


def of_upstream(g: Gradient) -> Claims:
    """Yield the right rule, applied to something else than all of ``dy``."""
    given, dy, rule = g.given, g.dy, g.right_for
    yield Claim("any.dy-ignored", "dy is ignored", given, rule(np.ones_like(dy)))
    yield Claim("any.dy-sign-lost", "the sign of dy is lost", given, rule(np.abs(dy)))
    yield from of_parts(g, one_size=False)
    for axis, letter in enumerate(g.y_axes):
        for what, change in (("averaged", dy.mean), ("summed", dy.sum)):
            mixed = np.broadcast_to(change(axis=axis, keepdims=True), dy.shape)
            yield Claim("any.dy-mixed", f"dy is {what} over {letter}", given, rule(mixed))
    if dy.ndim == 4:
        for h, w in ((0, 0), (-1, -1)):
            part = np.zeros_like(dy)
            part[..., h, w] = dy[..., h, w]
            yield Claim("any.one-pixel", "only one pixel of dy counts", given, rule(part))
            spread = np.broadcast_to(dy[..., h, w][..., None, None], dy.shape)
            words = "only one pixel of dy counts, for all"
            yield Claim("any.one-pixel", words, given, rule(spread))
        mean = np.broadcast_to(dy.mean(axis=(2, 3), keepdims=True), dy.shape)
        yield Claim("any.dy-mixed", "dy is averaged over the map", given, rule(mean))


def of_parts(g: Gradient, one_size: bool) -> Claims:
    """Yield the right rule for some of ``dy``, along axes of many sizes, or of one size."""
    given, dy, rule = g.given, g.dy, g.right_for
    for axis, letter in enumerate(g.y_axes):
        if (letter not in g.sizes) != one_size:
            continue
        for k, what in ((0, "first"), (-1, "last")):
            part = np.zeros_like(dy)
            at: Any = (*(slice(None),) * axis, k)
            part[at] = dy[at]
            name = "sample 0" if (letter, k) == ("N", 0) else f"the {what} of {letter} in dy"
            only = f"only {name} counts"
            yield Claim("any.part-of-dy", only, given, rule(part))
            yield Claim("any.part-of-dy", only, given, dy.shape[axis] * rule(part))
            yield Claim("any.dy-left-out", f"{name} is left out", given, rule(dy - part))


def of_places(g: Gradient) -> Claims:
    """Yield the right numbers, but not everywhere, or mixed."""
    right, given = g.right, g.given
    for axis, letter in enumerate(g.axes):
        for what, change in (("averaged", right.mean), ("summed", right.sum)):
            mixed = np.broadcast_to(change(axis=axis, keepdims=True), right.shape)
            often = " too often" if what == "summed" else ""
            yield Claim(f"any.{what}", f"it is {what} over {letter}{often}", given, mixed)
        first = np.broadcast_to(right.take([0], axis=axis), right.shape)
        yield Claim("any.first-for-all", f"the first of {letter} is used for all", given, first)
        for k, what in ((0, "first"), (-1, "last")):
            alone = np.zeros_like(right)
            at: Any = (*(slice(None),) * axis, k)
            alone[at] = right[at]
            samples = letter == "N" and (not g.y_axes or g.y_axes[0] == "N")
            name = "sample 0" if samples and k == 0 else f"the {what} of {letter}"
            spread = f"only {name} counts: it is not spread over {letter}"
            yield Claim("any.part", spread, given, alone)
            yield Claim("any.part", f"only {name} counts", given, alone * right.shape[axis])
            yield Claim("any.left-out", f"{name} is left out", given, right - alone)
    if right.ndim == 4:
        _, _, height, width = right.shape
        for h, w in ((0, 0), (-1, -1), (height // 2, width // 2)):
            alone = np.zeros_like(right)
            alone[..., h, w] = right[..., h, w]
            yield Claim("any.one-pixel", "only one pixel counts", given, alone)
            yield Claim("any.one-pixel", "only one pixel counts", given, alone * height * width)


def of_order(g: Gradient) -> Claims:
    """Yield the right numbers in the wrong order."""
    right, given, identity = g.right, g.given, tuple(range(g.right.ndim))
    for order in permutations(identity):
        turned = right.transpose(order)
        if order != identity and turned.shape == right.shape:
            yield Claim("any.transposed", g.turned(order), given, turned)
    long = [k for k in identity if right.shape[k] > 1]
    pairs = [axes for count in (1, 2) for axes in combinations(long, count)]
    for axes in pairs:
        words = f"it is flipped along {g.letters(axes)}"
        yield Claim("any.flipped", words, given, np.flip(right, axes))
    for axes in pairs:
        words = f"it is shifted by one along {g.letters(axes)}"
        for steps in product((1, -1), repeat=len(axes)):
            rolled = np.roll(right, steps, axes)
            yield Claim("any.shifted", words, given, rolled)
            filled = rolled.copy()
            for axis, step in zip(axes, steps, strict=True):
                filled[(*(slice(None),) * axis, 0 if step == 1 else -1)] = 0
            yield Claim("any.shifted", words, given, filled)
    yield from sum_of_dy(g)


def of_values(g: Gradient) -> Claims:
    """Yield what lay at hand in place of the derivative, as a factor, or as a further term."""
    right, given, dy, arg, name = g.right, g.given, g.dy, g.arg, g.name
    arrays = dict(zip(g.look.names, g.look.run.arrays, strict=True))
    others = {n: a for n, a in arrays.items() if n != name}
    for word, value in {name: arg, "y": g.y, **others}.items():
        if (a := _spread(value, right)) is not None:
            yield Claim("any.factor-value", f"a factor {word} too much", given, right * a)
            words = f"divided by {word} where it should be multiplied by it"
            yield Claim("any.divided", words, given, right / a**2)
            yield Claim("any.value-missing", f"the factor {word} is missing", given * a, right)
    if dy.shape == right.shape:
        for word, value in {"y": g.y, name: arg}.items():
            words = f"{word} in place of the derivative"
            yield Claim("any.value-for-derivative", words, given, value * dy)
            words = f"{word} in place of the gradient: dy is ignored"
            yield Claim("any.value-for-gradient", words, given, value)
        masked, right_masked = np.where(dy > 0, right, 0), np.where(g.y > 0, right, 0)
        words = "the derivative is missing: it is dy"
        yield Claim("any.derivative-missing", words, given, dy)
        yield Claim("any.masked-by-dy", "it is masked by the sign of dy", given, masked)
        words = "it is zero where y is not positive, and right elsewhere (a mask too much?)"
        yield Claim("any.masked-by-y", words, given, right_masked)
        yield Claim("any.dy-twice", "dy is multiplied to it once more", given, dy * right)
        yield Claim("any.y-minus-dy", "y - dy in place of the gradient", given, g.y - dy)
        words = "a term dy is missing, as that of a shortcut"
        yield Claim("any.shortcut-missing", words, given, right - dy)
        words = "a term dy is too much, or a term -dy is missing"
        yield Claim("any.shortcut-added", words, given, right + dy)
    for other in others:
        wanted = g.look.right(g.look.names.index(other))
        yield Claim("any.other-gradient", f"it is d{other}", given, wanted)
    rest, norm = given - right, float((arg * arg).sum())
    share = float((rest * arg).sum()) / norm if norm else 0.0
    words = f"a term {{fitted}} * {name} too much (weight decay?)"
    yield Claim("any.weight-decay", words, rest, share * arg, share)
    constant = float(rest.mean())
    words = "a constant {fitted} is added to it"
    yield Claim("any.constant-added", words, rest, np.full_like(rest, constant), constant)
    if right.size > 1:
        ordered = np.sort(np.ravel(right)), np.sort(np.ravel(given))
        words = "the order of the entries is wrong: the numbers are right"
        yield Claim("any.entries-reordered", words, *ordered)
        length = max(float(np.linalg.norm(right)), 1e-300)
        yield Claim("any.normalised", "it is normalised to length 1", given, right / length)
    yield Claim("any.clipped", "it is clipped to -1 ... 1", given, np.clip(right, -1, 1))


def _spread(a: Array, like: Array) -> Array | None:
    """Give ``a`` the shape of ``like``: entry by entry, or one number for each leading axis."""
    if a.ndim <= like.ndim and a.shape == like.shape[: a.ndim]:
        return a.reshape(a.shape + (1,) * (like.ndim - a.ndim))
    return None
