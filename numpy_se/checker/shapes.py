"""One syntax for the shapes of arguments, in Python and at the shell.

"N C H W, R C, C R"              spaces separate axes, commas separate arguments
"x=N,C w=O,C" or "x=N C; w=O C"  with names, either separates axes
["x=N,C,H,W", "w1=R,C"]          as words of a shell
{"x": ("N", "C"), "w": (3, 4)}   also {"x": "N C"} and {"x": "N,C"}

An axis is a letter or a size; equal letters are axes of equal sizes. ``...`` stands for two axes
A B. ``int`` in front stands for whole numbers: "int N" or ("int", 4). "()" is a scalar.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeAlias

from numpy_se.checker.words import listed, plural
from numpy_se.contract import typed

Shapes: TypeAlias = str | Sequence[str] | Mapping[str, str | Sequence[int | str]]

# Axes in one word, such as NCHW; but not KH, FW, DK, HH
JOINED = re.compile(r"(?!([FKDS][HW]|D[KMV]|HH|WW)$)[BCDFHKLMNRSTVW]{2,}|IO|OI|NI|NO")
WANTED = 'a string such as "N C, O C" or "x=N,C w=O,C", or a dict such as {"x": (2, 3), "w": "O C"}'


class Shape(NamedTuple):
    """The axes of one argument; a letter is a str, a size an int."""

    name: str
    kind: Literal["float", "int"]
    axes: tuple[int | str, ...]


def parse_shapes(shapes: Shapes, names: Sequence[str] = ("*args",)) -> list[Shape]:
    """Read ``shapes``, in the order of ``names``, which are those of the op's parameters.

    A name with a star stands for any further arguments (``argument_names``). Raises ValueError for
    what does not read, and for an argument that is unknown or left out; TypeError for other types.
    """
    words = [shapes] if isinstance(shapes, str) else shapes
    if isinstance(words, Mapping):
        terms = list(words.items())
    elif not (isinstance(words, list | tuple) and all(isinstance(word, str) for word in words)):
        raise TypeError(f"gradcheck: shapes is {typed(shapes)}; it wants {WANTED}")
    elif any("=" in word for word in words):
        terms = [term for word in words for term in _named(word)]
    else:
        terms = _unnamed(words, names)
    if not terms:
        raise ValueError(f"gradcheck: shapes is empty; it wants {WANTED}")
    return [_shape(name, term) for name, term in _in_order(terms, names)]


def argument_names(op: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the positional parameters of ``op``; last, ``"*args"`` if it takes any more."""
    try:
        parameters = inspect.signature(op).parameters.values()
    except (TypeError, ValueError):  # functions in C have none
        return ("*args",)
    fixed = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return (*fixed, *(f"*{p.name}" for p in parameters if p.kind is p.VAR_POSITIONAL))


def further_names(names: Sequence[str], count: int) -> list[str]:
    """Name arguments that have none: arg2, arg3, ..., as far as these names are free."""
    free = (f"arg{number}" for number in range(len(names), 2 * count + len(names)))
    return [name for name in free if name not in names][: max(0, count - len(names))]


def _unnamed(words: Sequence[str], names: Sequence[str]) -> list[tuple[str, Any]]:
    """Name the terms of "N C, O C"."""
    if len(words) > 1:
        wanted = 'NAME=A,B,... for each, or one string, in quotes, such as "N C H W, N C"'
        raise ValueError(f"gradcheck: shapes: {' '.join(words)!r} has no names; it wants {wanted}")
    terms = re.split("[,;]", words[0]) if "".join(words).strip() else []
    fixed = [name for name in names if name[0] != "*"]
    fixed += further_names(fixed, len(terms))
    return list(zip(fixed, terms, strict=False))


def _named(word: str) -> list[tuple[str, Any]]:
    """Split "x=N,C w=O,C" before each name."""
    before, *parts = re.split(r"(\w+)\s*=", word)
    if before.strip() or not parts or not all(map(str.isidentifier, parts[::2])):
        raise ValueError(f"gradcheck: shapes: {word!r} does not read as NAME=A,B,...")
    return list(zip(parts[::2], parts[1::2], strict=True))


def _in_order(terms: list[tuple[str, Any]], names: Sequence[str]) -> list[tuple[str, Any]]:
    """Put named terms into the order of the parameters."""
    given = [name for name, _ in terms]
    if twice := [name for name in given if given.count(name) > 1]:
        raise ValueError(f"gradcheck: shapes: {twice[0]} is there twice; it wants each name once")
    if any(name[0] == "*" for name in names):
        return terms
    if len(given) > len(names):
        got = f"{plural(len(given), 'argument')}; op takes {len(names)}"
        raise ValueError(f"gradcheck: shapes: it tells the axes of {got}, {listed(names)}")
    if unknown := [name for name in given if name not in names]:
        wanted = f"it wants {', '.join(names)}"
        raise ValueError(f"gradcheck: shapes: there is no argument {unknown[0]!r}; {wanted}")
    if left_out := [name for name in names[: len(terms)] if name not in given]:
        raise ValueError(f"gradcheck: shapes: {left_out[0]} is left out; it wants axes, or ()")
    return sorted(terms, key=lambda term: names.index(term[0]))


def _shape(name: str, term: Any) -> Shape:
    """Read the axes of one argument."""
    axes = _split(term) if isinstance(term, str) else term
    if not isinstance(axes, list | tuple):
        raise TypeError(f"gradcheck: shapes: {name} is {term!r}; it wants axes such as (2, 3)")
    integer = list(axes[:1]) == ["int"]
    read = tuple(own for axis in axes[integer:] for own in _axis(name, axis))
    return Shape(name, "int" if integer else "float", read)


def _split(term: str) -> list[str]:
    """Split text into axes, at commas or spaces; one comma or semicolon may stand at the end."""
    term = re.sub(r"\s*[,;]?\s*$", "", term).strip()
    if re.fullmatch(r"\(.*\)", term):
        return _split(term[1:-1])
    return re.split(r"\s*,\s*|\s+", term) if term else []


def _axis(name: str, axis: Any) -> tuple[int | str, ...]:
    if axis in ("...", ...):
        return "A", "B"
    if isinstance(axis, str) and re.fullmatch("[0-9]+", axis):
        axis = int(axis)
    if isinstance(axis, Integral) and axis is not True and int(axis) >= 1:
        return (int(axis),)
    got = f"gradcheck: shapes: {name} has an axis {axis!r}"
    if not (isinstance(axis, str) and axis.isidentifier()) or axis == "int":
        raise ValueError(f"{got}; it wants a letter, or a size of at least 1")
    if JOINED.fullmatch(axis):
        raise ValueError(f'{got}; did you mean "{" ".join(axis)}"?')
    return (axis,)
