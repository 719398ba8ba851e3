"""What a target names, "FILE:FUNCTION": its file is run, and what it defines becomes an op."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

from numpy_se.checker.adapt import Op, class_op, from_cache
from numpy_se.checker.layers import forward_names, guess_gradients, has_both, make_layer
from numpy_se.checker.shapes import argument_names

WANTED = "write FILE.py:FUNCTION, FILE.py:FORWARD,BACKWARD, FILE.py:CLASS or FILE.py:CLASS(4, 2)"
NAME = r"[^\W\d]\w*"


class Target(NamedTuple):
    """An absolute path, one or two names, and what stands in parentheses."""

    path: str
    names: tuple[str, ...]
    sizes: tuple[Any, ...] | None
    options: dict[str, Any]


def read_target(text: str) -> Target:
    """Read "FILE:NAME", "FILE:NAME,NAME" or "FILE:NAME(4, 2)"."""
    read = re.fullmatch(rf"(.*?):\s*({NAME}(?:\s*,\s*{NAME})*)\s*(\(.*\))?\s*", text, re.DOTALL)
    if read is None:
        raise ValueError(f"{text!r} does not read; {WANTED}")
    path, names, call = read[1], tuple(re.split(r"\s*,\s*", read[2])), read[3]
    if len(names) > 2:
        raise ValueError(f"{read[2]!r} are too many names; write FUNCTION, or FORWARD,BACKWARD")
    if call is None:
        return Target(os.path.abspath(path), names, None, {})
    try:
        parsed = ast.parse(f"f{call}", mode="eval").body
        if not (
            isinstance(parsed, ast.Call) and isinstance(parsed.func, ast.Name) and not names[1:]
        ):
            raise ValueError(call)
        sizes = tuple(map(ast.literal_eval, parsed.args))
        options = {str(word.arg): ast.literal_eval(word.value) for word in parsed.keywords}
    except (SyntaxError, ValueError):
        raise ValueError(
            f"{read[2]}{call} does not read; write CLASS(4, 2), with numbers"
        ) from None
    return Target(os.path.abspath(path), names, sizes, options)


def load(target: Target) -> list[Any]:
    """Import the file, and give what it defines under the names."""
    module = _module(target.path)
    found = [getattr(module, name, None) for name in target.names]
    for name, value in zip(target.names, found, strict=True):
        if not (callable(value) or has_both(value)):
            own = ", ".join(n for n, one in vars(module).items() if _defines(module, one))
            file = Path(target.path).name
            raise ValueError(f"{file} has no function {name!r}; it has {own or 'none'}")
    if target.sizes is not None and not inspect.isclass(found[0]):
        raise ValueError(f"{target.names[0]} is no class; write it without (...)")
    return found


def _module(path: str) -> ModuleType:
    """Run a file as a module, as far as possible under its name, but never as the main one."""
    name = Path(path).stem
    while name in sys.modules or name in sys.stdlib_module_names:
        name += "_"
    spec = importlib.util.spec_from_file_location(name, path)
    if not Path(path).is_file() or spec is None or spec.loader is None:
        raise ValueError(f"{path!r} is no Python file; {WANTED}")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    if (folder := str(Path(path).parent)) not in sys.path:
        sys.path.append(folder)  # behind all others, so that nothing is shadowed
    sys.argv[:] = [path]
    spec.loader.exec_module(module)
    return module


def _defines(module: ModuleType, value: Any) -> bool:
    return callable(value) and getattr(value, "__module__", "") == module.__name__


def op_of(
    found: list[Any], target: Target, shapes: Mapping[str, Any] | str, alone: bool = True
) -> Op:
    """What was found, as a function ``y, backward = op(*args)``.

    ``alone`` says that all of ``shapes`` are for this one.
    """
    first, *rest = found
    if rest:
        return from_cache(first, *rest)
    if inspect.isclass(first) or not callable(first):
        return _op_of_class(first, target, shapes, alone)
    return cast(Op, first)


def _op_of_class(made: Any, target: Target, shapes: Mapping[str, Any] | str, alone: bool) -> Op:
    """The op of a class: the arguments of forward, then parameters with their gradients.

    Names in ``shapes`` that are not forward's own are those of parameters, unless others stand
    beside this class. Without names, the parameters are those that can be guessed.
    """

    def make() -> Any:
        return make_layer(made, target.sizes or (), target.options)

    layer = make()
    guessed = guess_gradients(type(layer))
    if isinstance(shapes, str):
        return class_op(make, guessed)
    own, needed = argument_names(layer.forward), len(forward_names(layer))
    if not alone:
        return class_op(make, {}, own)
    inputs = sorted((name for name in shapes if name in own), key=own.index)
    if len(inputs) < needed:  # they have other names
        inputs = list(shapes)[:needed]
    gradients = {name: guessed.get(name, f"d{name}") for name in shapes if name not in inputs}
    op = class_op(make, gradients, inputs)
    op.__name__ = target.names[0]
    return op
