"""Mistakes in functions of one number, whose derivative is a sum of products.

The derivative of each is written in words, such as "s + {x} * s * (1 - s)". What can be forgotten
in it is read off: a term, a factor, the side of a mask. What people put in the place of all of it
is in a table: the rule of another function, ``y`` for ``x``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.registry import known, mistake
from numpy_se.contract import Array

Atoms = dict[str, Any]  # the parts of a derivative, by the words for them
Slip = tuple[str, str, Callable[[Atoms], Any]]
Extra = tuple[str, str, Callable[[Array, Array, Any], Any]]  # of x, y and the option a
SAMPLE = np.random.default_rng(0).uniform(-8, 8, 50)
ROOT = math.sqrt(2 * math.pi)


def erf(x: Array) -> Array:
    found: Array = np.vectorize(math.erf, otypes=[float])(x)
    return found


def logistic(x: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-x))
    return found


def total(rule: str, atoms: Mapping[str, Any]) -> Any:
    """Give the value of a sum of products, such as "{x} * s + -1 * s"."""
    return sum(math.prod(atoms[a] for a in term.split(" * ")) for term in rule.split(" + "))


def slips(rule: str) -> Iterator[Slip]:
    """What is forgotten in a sum of products."""
    terms = rule.split(" + ")
    for k, term in enumerate(terms):
        factors, alone = term.split(" * "), len(terms) == 1
        sign = "the sign is wrong" if alone else f"the term {term} has the wrong sign"
        changes = [("-sign", sign, [f"-1 * {term}"])]
        if not alone:
            changes.append(("-missing", f"the term {term} is missing", []))
        for j, factor in enumerate(factors if len(factors) > 1 or not alone else ()):
            less = " * ".join(factors[:j] + factors[j + 1 :])
            what = f"the {'mask' if factor[0] == '(' else 'factor'} {factor} is missing"
            what += "" if alone else f" in {term}"
            code = f".{slug(factor)}-missing"
            changes.append((code, what if less else f"1 in place of {factor}", [less or "1"]))
        for code, says, instead in changes:
            changed = " + ".join(terms[:k] + instead + terms[k + 1 :])
            yield f"term-{k + 1}{code}", says, partial(total, changed)
    for k, factor in enumerate(dict.fromkeys(re.split(r" [+*] ", rule))):
        if factor.startswith("("):
            yield (
                f"inverted-{k + 1}" if k else "inverted",
                f"{factor} is inverted" if k else "the mask is inverted, or the sides are swapped",
                partial(_inverted, rule, factor, k),
            )


def _inverted(rule: str, factor: str, k: int, atoms: Atoms) -> Any:
    """Turn one mask, or, from the first one, all of them."""
    masks = [a for a, v in atoms.items() if a[0] == "(" and np.asarray(v).dtype == bool]
    return total(rule, atoms | {a: ~atoms[a] for a in masks if a == factor or not k})


def slug(words: str) -> str:
    """Make a part of an id of some words."""
    for sign, name in (("<", " below "), (">", " above "), ("/", " over "), ("^", " to ")):
        words = words.replace(sign, name)
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


class Unary:
    """y = f(x), entry by entry, with an option a. ``rule`` is the derivative."""

    def __init__(
        self, code: str, formula: Callable[[Array, Any], Any], rule: str, atoms: Any
    ) -> None:
        self.__name__ = code.replace("-", "_")
        self.axes, self.entrywise = "...", True
        self.formula, self.rule, self.own = formula, rule, atoms

    def __call__(self, x: Array, *, a: Any = None) -> tuple[Array, Callable[[Array], Array]]:
        y: Array = np.asarray(self.formula(x, a))
        return y, lambda dy: np.asarray(dy * self.derivative(x, y, a))

    def derivative(self, x: Array, y: Array, a: Any) -> Any:
        return total(self.rule, self.atoms(x, y, a))

    def atoms(self, x: Array, y: Array, a: Any) -> Atoms:
        return {
            **{"{x}": x, "{y}": y, "1": 1.0, "-1": -1.0, "1/2": 0.5, "2": 2.0, "3": 3.0},
            **{"({x} > 0)": x > 0, "({x} <= 0)": x <= 0, "exp({x})": np.exp(x)},
            **(self.own(x, y, a) if self.own else {}),
        }


def anything(op: Unary) -> list[Extra]:
    """What is put in the place of any derivative."""
    return [
        ("missing", "the derivative is missing: it is d{y}", lambda x, y, a: 1),
        ("y", "{y} in place of the derivative", lambda x, y, a: y),
        ("x", "{x} in place of the derivative", lambda x, y, a: x),
        ("at-y", "the derivative is taken at {y} in place of {x}",
         lambda x, y, a: op.derivative(y, op(y, a=a)[0], a)),
        ("tanh-rule", "the rule of tanh, 1 - {y}^2", lambda x, y, a: 1 - y * y),
        ("tanh-of-x", "the rule of tanh, 1 - tanh({x})^2", lambda x, y, a: 1 - np.tanh(x) ** 2),
        ("sigmoid-rule", "the rule of the sigmoid, {y} (1 - {y})", lambda x, y, a: y * (1 - y)),
        ("sigmoid-of-x", "the rule of the sigmoid, s (1 - s) with s = sigmoid({x})",
         lambda x, y, a: logistic(x) * logistic(-x)),
        ("sigmoid", "sigmoid({x}) in place of the derivative", lambda x, y, a: logistic(x)),
        ("silu-rule", "the rule of silu", lambda x, y, a: logistic(x) * (1 + x * logistic(-x))),
        ("relu-rule", "the mask of ReLU, {x} > 0", lambda x, y, a: x > 0),
        ("abs-rule", "the sign of {x}: the rule of abs", lambda x, y, a: np.sign(x)),
        ("exp-rule", "exp({x}) in place of the derivative", lambda x, y, a: np.exp(x)),
        ("twice", "the derivative is there twice", lambda x, y, a: op.derivative(x, y, a) ** 2),
        ("second", "the derivative is taken at f({x}) too: the function is applied twice",
         lambda x, y, a: op.derivative(x, y, a) * op.derivative(y, op(y, a=a)[0], a)),
        ("divided", "divided by the derivative where it should be multiplied by it",
         lambda x, y, a: 1 / op.derivative(x, y, a)),
        ("x-too", "a factor {x} too much", lambda x, y, a: x * op.derivative(x, y, a)),
        ("y-too", "a factor {y} too much", lambda x, y, a: y * op.derivative(x, y, a)),
        ("one-minus", "1 - f' in place of f'", lambda x, y, a: 1 - op.derivative(x, y, a)),
    ]  # fmt: skip


def unary(
    code: str, formula: Any, rule: str, atoms: Any = None, extras: Sequence[Extra] = (), *a: Any
) -> Unary:
    """Enter a function, for each value of its option ``a``, with its mistakes.

    What cannot be told from the right derivative, or from an earlier mistake, is left out.
    """
    op = Unary(code, formula, rule, atoms)
    if a:
        known(op, a=a)
    else:
        known(op)
    read: list[Extra] = [(c, says, partial(_read, op, wrong)) for c, says, wrong in slips(rule)]
    with np.errstate(all="ignore"):
        values = [(x, op(x, a=v)[0], v) for v in (a or (None,))[:2] for x in (SAMPLE, abs(SAMPLE))]
        values = [(x[np.isfinite(y)], y[np.isfinite(y)], v) for x, y, v in values]
        seen = _key(op.derivative, values)[None]
        for suffix, says, wrong in (*extras, *read, *anything(op)):
            new = _key(wrong, values)
            if (abs(seen - new) > 1e-9 * (1 + abs(new))).any(axis=1).all():
                seen = np.vstack([seen, new])
                mistake(f"{code}.{suffix}", of=op, says=says)(partial(_wrong, op, wrong))
    return op


def _read(op: Unary, wrong: Any, x: Array, y: Array, a: Any) -> Any:
    return wrong(op.atoms(x, y, a))


def _key(rule: Any, values: Sequence[Any]) -> Array:
    """Numbers by which a derivative is told from others."""
    found = [np.broadcast_to(rule(*v), v[0].shape) for v in values]
    key: Array = np.nan_to_num(np.concatenate(found).astype(float), posinf=1e300, neginf=-1e300)
    return key


def _wrong(op: Unary, wrong: Any, args: tuple[Array], dy: Array, a: Any = None) -> Any:
    return {0: np.asarray(dy * wrong(args[0], op(args[0], a=a)[0], a))}
