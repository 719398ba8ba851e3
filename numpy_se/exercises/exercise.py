"""An exercise, read from its file. The files of the folder ``ladder`` are all exercises there are.

``07_linear.py`` is exercise 7, with the solution in the function ``linear``. Its docstring is the
title, then the task. Besides, it has

    MINUTES     how long it takes
    SHAPES      the axes of each argument, as gradcheck takes them
    HINTS       three: a question, the formula in indices, a skeleton with gaps
    MISTAKES    edits that make the solution wrong, see ``mistake.py``

and, only where the function is not an operation ``y, backward = linear(x, w)`` by itself,

    judged(...)  makes one of what the student writes: functions of the names of its parameters
    STUB         what the student begins with; else, it is made from the solution
    IN_STEPS     true where only the first wrong gradient is told
    FREE         true where y is the student's own, and is compared with nothing
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from numpy_se.checker.adapt import Op
from numpy_se.checker.mistakes import registry
from numpy_se.contract import Array
from numpy_se.exercises import ladder
from numpy_se.exercises.mistake import Mistake


@dataclass(frozen=True, eq=False)
class Exercise:
    """What the file of an exercise holds."""

    stem: str
    module: ModuleType

    @property
    def number(self) -> int:
        return int(self.stem.partition("_")[0])

    @property
    def name(self) -> str:
        return self.stem.partition("_")[2]

    @property
    def file(self) -> str:
        """The file of the student."""
        return f"{self.stem}.py"

    @property
    def title(self) -> str:
        return inspect.cleandoc(self.module.__doc__ or "").partition("\n")[0].rstrip(".")

    @property
    def task(self) -> str:
        return inspect.cleandoc(self.module.__doc__ or "").partition("\n\n")[2]

    @property
    def minutes(self) -> int:
        return int(self.module.MINUTES)

    @property
    def shapes(self) -> dict[str, Any]:
        return dict(self.module.SHAPES)

    @property
    def gradients(self) -> list[str]:
        """The names of all gradients, in their order."""
        return [f"d{name}" for name, axes in self.shapes.items() if "int" not in axes]

    @property
    def hints(self) -> tuple[str, ...]:
        return tuple(inspect.cleandoc(hint) for hint in self.module.HINTS)

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        return tuple(self.module.MISTAKES)

    @property
    def in_steps(self) -> bool:
        return bool(getattr(self.module, "IN_STEPS", False))

    @property
    def free(self) -> bool:
        return bool(getattr(self.module, "FREE", False))

    @cached_property
    def answers(self) -> tuple[str, ...]:
        """The names of the functions that the student writes."""
        made = getattr(self.module, "judged", None)
        return tuple(inspect.signature(made).parameters) if made else (self.name,)

    @property
    def maker(self) -> str:
        """The source of ``judged`` and of what it needs, without the solution; or nothing."""
        if not hasattr(self.module, "judged"):
            return ""
        kept: list[ast.stmt] = [
            node
            for node in ast.parse(inspect.getsource(self.module)).body
            if (isinstance(node, ast.FunctionDef) and node.name not in self.answers)
            or isinstance(node, ast.Import)
            or (isinstance(node, ast.ImportFrom) and node.module != "numpy_se.exercises")
        ]
        return ast.unparse(ast.Module(kept, []))

    def judged(self, *functions: Op) -> Op:
        """Make an operation of the functions that a student has written."""
        made = getattr(self.module, "judged", None)
        return made(*functions) if made else functions[0]

    @cached_property
    def op(self) -> Op:
        """The operation of the solution."""
        return self.judged(*(getattr(self.module, name) for name in self.answers))

    @cached_property
    def solution(self) -> str:
        """The source of the solution."""
        found = (inspect.getsource(getattr(self.module, name)) for name in self.answers)
        return "\n\n".join(found)

    @property
    def stub(self) -> str:
        """What the student begins with, below the task."""
        if hasattr(self.module, "STUB"):
            return str(self.module.STUB).strip("\n") + "\n"
        return STUB.format(
            signature=self.solution.split("\n")[0],
            gaps="\n        ".join(f"{title} = ..." for title in self.gradients),
            gradients=", ".join(self.gradients),
        )

    def spoiled(self, mistake: Mistake) -> Op:
        """The operation of the solution with a mistake in it."""
        names = dict(vars(self.module))
        exec(compile(mistake.made_in(self.solution), f"<{mistake.id}>", "exec"), names)
        return self.judged(*(names[name] for name in self.answers))

    @contextmanager
    def taught(self) -> Iterator[None]:
        """Let the checker know the mistakes that it has no name for."""
        for entry in (mistake for mistake in self.mistakes if mistake.says):
            made = cache(partial(self.spoiled, entry))
            backward, forward = (
                partial(_wrong_gradients, self.op, made),
                partial(_wrong_output, made),
            )
            registry.mistake(entry.id, of=self.op, says=entry.says)(backward)
            registry.wrong_forward(entry.id, of=self.op, says=entry.says)(forward)
        try:
            yield
        finally:
            registry.BACKWARD.pop(self.op, None)
            registry.FORWARD.pop(self.op, None)


STUB = """\
{signature}
    y = ...

    def backward(dy):
        {gaps}
        return {gradients}

    return y, backward
"""


def _wrong_gradients(
    right: Op, made: Callable[[], Op], args: tuple[Any, ...], dy: Array
) -> dict[int, Array] | None:
    """What a mistake in the backward pass gives; None for one in the forward pass."""
    y, backward = made()(*args)
    if not np.array_equal(y, right(*args)[0]):
        return None
    grads = backward(dy)
    places = [k for k, a in enumerate(args) if np.asarray(a).dtype.kind == "f"]
    given = grads if isinstance(grads, tuple) else (grads,)
    return dict(zip(places, map(np.asarray, given), strict=True))


def _wrong_output(made: Callable[[], Op], args: tuple[Any, ...]) -> Array | None:
    try:
        return np.asarray(made()(*args)[0])
    except registry.MISFITS:  # nobody can make this mistake at these arguments
        return None


@cache
def all_exercises() -> tuple[Exercise, ...]:
    """All exercises, in their order."""
    stems = sorted(module.name for module in pkgutil.iter_modules(ladder.__path__))
    return tuple(Exercise(stem, import_module(f"{ladder.__name__}.{stem}")) for stem in stems)


def find(what: str | int) -> Exercise:
    """The exercise of a number, a name or a file. Raises ValueError where there is none."""
    wanted = re.sub(r"\.py$", "", str(what))
    for exercise in all_exercises():
        if wanted in (exercise.stem, exercise.name, str(exercise.number)):
            return exercise
    names = ", ".join(exercise.name for exercise in all_exercises())
    raise ValueError(f"there is no exercise {str(what)!r}; there are 1 to "
                     f"{len(all_exercises())}: {names}")  # fmt: skip
