"""Objects with ``forward(x)`` and ``backward(dy)``: making them, parameters, gradients.

Parameters and gradients live in attributes, in dicts such as ``params`` and ``grads``, or in an
object that holds both. A place is text such as "dw", "grads['w']" or "w.grad".
"""

from __future__ import annotations

import ast
import contextlib
import copy
import dis
import functools
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpy_se.checker.words import in_short, listed

SIZES = (4, 2, 3, 2, 2)  # examples of what an __init__ may take


def make_layer(
    make: Any, sizes: Sequence[Any] = (), options: Mapping[str, Any] | None = None
) -> Any:
    """Make an object, or copy it. NumPy's global random numbers are the same each time.

    Raises TypeError for what has no forward and backward, for sizes beside an object, and, with a
    line that may be meant, for a class that takes others.
    """
    makes = inspect.isclass(make) or (callable(make) and not has_both(make))
    if sizes and not makes:
        raise TypeError(f"from_class: {title_of(make)} is an object; sizes are for a class")
    try:
        layer = _made(make, sizes, options or {}) if makes else copy.deepcopy(make)
    except TypeError as error:
        given = [*map(repr, sizes), *(f"{k}={v!r}" for k, v in (options or {}).items())]
        call = f"{title_of(make)}({', '.join(given)})"
        line = f"; for example, {class_line(make)}" if isinstance(make, type) else ""
        raise TypeError(f"from_class: {call} raises {in_short(error)}{line}") from error
    if not has_both(layer):
        raise TypeError(f"from_class: {title_of(make)} gives no object with forward and backward")
    return layer


def _made(make: Any, sizes: Sequence[Any], options: Mapping[str, Any]) -> Any:
    if getattr(make, "__init__", None) is object.__init__:  # draws nothing
        return make(*sizes, **options)
    with _same_random_numbers():
        return make(*copy.deepcopy(tuple(sizes)), **copy.deepcopy(dict(options)))


@contextlib.contextmanager
def _same_random_numbers() -> Iterator[None]:
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def has_both(layer: Any) -> bool:
    """Tell whether an object, or a class, has forward and backward."""
    return all(callable(getattr(layer, name, None)) for name in ("forward", "backward"))


def forward_names(layer: Any) -> list[str]:
    """The names of the arguments that ``forward`` must be given; "*xs" for any number."""
    try:
        parameters = list(inspect.signature(layer.forward).parameters.values())
    except (TypeError, ValueError):
        return ["*args"]
    needed = parameters[inspect.isclass(layer) :]
    return [
        f"*{p.name}" if p.kind is p.VAR_POSITIONAL else p.name
        for p in needed
        if p.default is p.empty and p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)
    ]


def put(layer: Any, name: str, place: str, value: Any) -> None:
    """Set a parameter, wherever it lives: an attribute, an entry of ``params``, or both.

    An array for its gradient gets its shape.
    """
    params, key = getattr(layer, "params", None), _key(place)
    held = isinstance(params, dict) and name in params
    counted = isinstance(params, list) and isinstance(key, int) and key < len(params)
    if place.startswith(f"{name}."):  # an object that has a value and its gradient
        owner = getattr(layer, name)
        setattr(owner, "value" if hasattr(owner, "value") else "data", value)
    else:
        if held or counted:
            params[name if held else key] = value  # type: ignore[index]
        if hasattr(layer, name) or not (held or counted):
            setattr(layer, name, value)
    made = _read_or_none(layer, name, place)  # in __init__, to be filled
    if isinstance(made, np.ndarray) and made.shape != np.shape(value):
        _write(layer, _resolved(layer, name, place), np.zeros_like(value))


def gradients_of(
    layer: Any, dy: Any, names: Sequence[str], args: tuple[Any, ...], places: Mapping[str, str]
) -> tuple[Any, ...]:
    """Run backward; give all gradients, those that it returns and those that it leaves in places.

    ``names`` are those of the arguments of forward, the first ones among ``args``. What is left in
    an array that was there before, to be filled, is copied.
    """
    count = len(args) - len(places)
    rest = [f"arg{number}" for number in range(len(names), count)]
    inputs = [n for n, a in zip([*names, *rest], args[:count], strict=False) if _is_float(a)]
    parameters = [n for n, a in zip(places, args[count:], strict=True) if _is_float(a)]
    before = [_read_or_none(layer, name, places[name]) for name in parameters]
    found = _returned(layer, given := layer.backward(dy), inputs)
    if parameters and len(found) == len(inputs) + len(parameters):
        return found  # backward gives them all
    left = [_left(layer, given, name, places[name]) for name in parameters]
    kept = zip(left, before, strict=True)
    return *found, *(a.copy() if a is b and isinstance(a, np.ndarray) else a for a, b in kept)


def _returned(layer: Any, given: Any, inputs: Sequence[str]) -> tuple[Any, ...]:
    """The gradients of the arguments of forward, also where backward returns none of them."""
    if isinstance(given, Mapping):
        return tuple(_pick(given, name) for name in inputs)
    if given is None:
        left = [next((t for t in _titles(n)[:-1] if hasattr(layer, t)), None) for n in inputs]
        return tuple(getattr(layer, title) if title else None for title in left)
    return tuple(given) if isinstance(given, tuple | list) else (given,)


def _left(layer: Any, given: Any, name: str, place: str) -> Any:
    """The gradient of a parameter."""
    if isinstance(given, Mapping) and (key := _find(given, [place, *_titles(name)])):
        return given[key]
    try:
        return _read(layer, _resolved(layer, name, place))
    except (AttributeError, LookupError, TypeError):
        own = listed(vars(layer)) if getattr(layer, "__dict__", None) else "no attributes"
        message = f"after backward, {title_of(layer)} has no {place}; it has {own}"
        raise AttributeError(message) from None


def _read_or_none(layer: Any, name: str, place: str) -> Any:
    with contextlib.suppress(AttributeError, LookupError, TypeError):
        return _read(layer, _resolved(layer, name, place))
    return None


def in_order(given: Any, names: Sequence[str], args: tuple[Any, ...]) -> Any:
    """Put gradients in a dict into the order of the arguments; leave others as they are."""
    if not isinstance(given, Mapping):
        return given
    grads = [_pick(given, n) for n, a in zip(names, args, strict=False) if _is_float(a)]
    return tuple(grads) if len(grads) != 1 else grads[0]


def _pick(given: Mapping[str, Any], name: str) -> Any:
    if (key := _find(given, _titles(name))) is None:
        raise ValueError(f"backward gives no gradient of {name}; it gives {listed(given)}")
    return given[key]


def _find(given: Mapping[str, Any], titles: Sequence[str]) -> str | None:
    """The key that is one of the titles, if need be in other letters: dX for x."""
    exact = [title for title in titles if title in given]
    alike = [key for title in titles for key in given if str(key).lower() == title.lower()]
    return next(iter(exact + alike), None)


def _titles(name: str) -> list[str]:
    """What a gradient of ``name`` is called."""
    return [f"d{name}", f"d_{name}", f"grad_{name}", f"{name}_grad", f"g{name}", name]


def unchecked(layer: Any, places: Mapping[str, str]) -> list[str]:
    """Name the float arrays that a fresh object holds, and whose gradient nobody asks for."""
    own = dict(getattr(layer, "__dict__", {}))
    params = own.pop("params", None)
    keys = {_key(place) for place in places.values()}
    if isinstance(params, Mapping):
        inner = {f"params[{k!r}]": a for k, a in params.items() if k not in places}
    else:
        inner = {f"params[{k}]": a for k, a in enumerate(params or ()) if k not in keys}
    gradients = {*places.values(), *(title for name in own for title in _titles(name)[:-1])}
    left = {name: a for name, a in own.items() if name not in {*places, *gradients}} | inner
    seen = {id(a) for name, a in own.items() if name in places}
    found = []
    for name, a in left.items():
        if _is_float(a) and id(a) not in seen:
            found.append(name)
            seen.add(id(a))
    return found


# Places of gradients: an attribute, or an entry of one, such as grads['w'].


def check_place(name: str, place: str) -> None:
    """Raise TypeError or ValueError for a place of a gradient that does not read."""
    wanted = 'an attribute such as "dw", or an entry such as "grads[\'w\']"'
    if not isinstance(place, str):
        raise TypeError(f"from_class: {name} is {place!r}; it wants {wanted}")
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*|\[(\d+|'[^']*'|\"[^\"]*\")\])*", place):
        raise ValueError(f"from_class: {name} is {place!r}; it wants {wanted}")


def _resolved(layer: Any, name: str, place: str) -> str:
    """The place, or that in ``grads`` where there is no such attribute."""
    grads = getattr(layer, "grads", None)
    if not hasattr(layer, place) and place.isidentifier() and isinstance(grads, Mapping):
        key = _find(grads, [place, *_titles(name)])
        return place if key is None else f"grads[{key!r}]"
    return place


@functools.cache
def _steps(place: str) -> list[str | tuple[str | int]]:
    """The attributes, as text, and the keys, in tuples, on the way to a place."""
    found = re.findall(r"\.?(\w+)|\[(.*?)\]", place)
    return [name if name else (ast.literal_eval(key),) for name, key in found]


def _key(place: str) -> Any:
    """The last key of a place, None for an attribute."""
    last = _steps(place)[-1]
    return last[0] if isinstance(last, tuple) else None


def _read(owner: Any, place: str, steps: int | None = None) -> Any:
    for step in _steps(place)[:steps]:
        owner = owner[step[0]] if isinstance(step, tuple) else getattr(owner, step)
    return owner


def _write(layer: Any, place: str, value: Any) -> None:
    owner, last = _read(layer, place, -1), _steps(place)[-1]
    if isinstance(last, tuple):
        owner[last[0]] = value
    else:
        setattr(owner, last, value)


# What can be guessed about a class.


def class_line(cls: type, made: str = "") -> str:
    """Write ``from_class(Dense, 4, 2, W="dW", b="db")``; sizes are examples.

    With ``made``, this name of an object stands in place of the class and its sizes.
    """
    guessed = guess_gradients(cls)
    parameters = [f"{name}={quoted(place)}" for name, place in guessed.items()]
    if made:
        return f"from_class({', '.join([made, *parameters])})"
    return f"from_class({', '.join([cls.__name__, *_guess_sizes(cls, guessed), *parameters])})"


def guess_gradients(cls: type) -> dict[str, str]:
    """Find attributes of which ``backward`` leaves a gradient: ``{"W": "dW", "b": "db"}``.

    Nothing is run. What ``forward`` takes or sets is no parameter.
    """
    start, forward, backward = (
        _words_in(getattr(cls, name, None)) for name in ("__init__", "forward", "backward")
    )
    keys = backward.texts if "grads" in (*backward.read, *backward.set) else ()
    taken = {*forward.set, *forward_names(cls)}
    found: dict[str, str] = {}
    for name in (*start.set, *start.texts, *forward.read, *forward.texts, *backward.read):
        if name in taken or not name.isidentifier():
            continue
        titles = [title for title in _titles(name) if title in backward.set and title != name]
        titles += [f"grads[{title!r}]" for title in _titles(name) if title in keys]
        if titles:
            found.setdefault(name, titles[0])
    return found


class _Words(NamedTuple):
    """The attributes that a function reads and sets, and the text constants in it."""

    read: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


def _words_in(function: Any) -> _Words:
    code = getattr(function, "__code__", None)
    if code is None:
        return _Words()
    steps = list(dis.get_instructions(code))
    groups = [group if isinstance(group, tuple) else (group,) for group in code.co_consts]
    return _Words(
        tuple(s.argval for s in steps if s.opname in ("LOAD_ATTR", "LOAD_METHOD")),
        tuple(s.argval for s in steps if s.opname == "STORE_ATTR"),
        tuple(text for group in groups for text in group if isinstance(text, str)),
    )


def _guess_sizes(cls: type, guessed: Mapping[str, str]) -> list[str]:
    """What ``__init__`` must be given: sizes for example, None for parameters, or names."""
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        return []
    needed = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    sizes = iter(SIZES)
    values = [None if name in guessed else next(sizes, 2) for name in needed]
    try:
        _made(cls, values, {})
    except Exception:  # whatever it says to such sizes
        return needed
    return list(map(repr, values))


def title_of(value: Any) -> str:
    """The name of a function or class, or of the type of an object."""
    return str(getattr(value, "__name__", type(value).__name__))


def quoted(place: str) -> str:
    """Write text in double quotes where that can be."""
    return f'"{place}"' if '"' not in place else repr(place)


def _is_float(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"
