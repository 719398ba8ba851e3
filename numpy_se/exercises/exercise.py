"""An exercise, read from its file. The files of the folder ``ladder`` are all exercises there are.

``07_linear.py`` is exercise 7, with the solution in the function ``linear``. Its docstring is the
title, then the task. Besides, it has

    MINUTES     how long it takes
    SHAPES      the axes of each argument, as gradcheck takes them
    HINTS       three: a question, the formula in indices, a skeleton with gaps
    MISTAKES    edits that make the solution wrong, see ``mistake.py``

and, only where the function is not an operation ``y, backward = linear(x, w)`` by itself,

    judged(...)  makes one of what the student writes: functions of the names of its parameters
    STUB         what the student begins with, or mistakes in the solution to begin with; else, it
                 is made from the first line of the solution
    IN_STEPS     true where only the first wrong gradient is told
    GIVEN        what is not the student's own, such as ("y",), and brings no points
    FREE         true where y is the student's own, and is compared with nothing
    WORDS        names that the check uses, and what they are called here, as {"dy": "ds"}
    VARIANTS     at the end: choices, by what they are about; each is a tuple of edits (old, new) of
                 what stands above, none for the file as it is. A student gets one choice of each
"""

from __future__ import annotations

import ast
import inspect
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial, reduce
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from numpy_se.checker.adapt import Op
from numpy_se.checker.mistakes import registry
from numpy_se.checker.words import in_short, listed
from numpy_se.contract import Array
from numpy_se.exercises.mistake import Mistake

LADDER = Path(__file__).parent / "ladder"
WANTED = ("__doc__", "MINUTES", "SHAPES", "HINTS", "MISTAKES")
FIELDS = {*WANTED, "STUB", "IN_STEPS", "GIVEN", "FREE", "WORDS", "VARIANTS"}


@dataclass(frozen=True)
class Exercise:
    """What the file of an exercise holds."""

    path: Path
    source: str
    varied: bool = False

    # What is computed from the source stays behind: modules and functions do not travel.
    def __reduce__(self) -> tuple[Any, ...]:
        return Exercise, (self.path, self.source, self.varied)

    @cached_property
    def module(self) -> ModuleType:
        module = ModuleType(self.name)
        exec(compile(self.source, self.path, "exec"), vars(module))
        return module

    @property
    def stem(self) -> str:
        return self.path.stem

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
    def parts(self) -> list[str]:
        """What is marked: y and the gradients, as far as they are the student's own."""
        given = {*getattr(self.module, "GIVEN", ()), *(["y"] if self.free else [])}
        return [part for part in ("y", *self.gradients) if part not in given]

    @property
    def free(self) -> bool:
        return bool(getattr(self.module, "FREE", False))

    @property
    def words(self) -> dict[str, str]:
        return dict(getattr(self.module, "WORDS", {}))

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
            for node in ast.parse(self.source).body
            if not (isinstance(node, ast.FunctionDef) and node.name in self.answers)
            and not (isinstance(node, ast.ImportFrom) and node.module == "numpy_se.exercises")
            and not (isinstance(node, ast.Assign) and _sets(node) & FIELDS)
            and not isinstance(node, ast.Expr)
        ]
        return ast.unparse(ast.Module(kept, []))

    @property
    def gives_the_package(self) -> bool:
        """Tell whether ``judged`` gives students something of this package."""
        nodes = [*ast.walk(ast.parse(self.maker))]
        modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
        modules += [a.name for node in nodes if isinstance(node, ast.Import) for a in node.names]
        return any((module or "").partition(".")[0] == "numpy_se" for module in modules)

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
        functions = {
            node.name: node
            for node in ast.parse(self.source).body
            if isinstance(node, ast.FunctionDef)
        }
        found = (ast.get_source_segment(self.source, functions[name]) for name in self.answers)
        return "\n\n".join(f"{text}\n" for text in found)

    @property
    def stub(self) -> str:
        """What the student begins with, below the task."""
        stub = getattr(self.module, "STUB", None)
        if isinstance(stub, str):
            return stub.strip("\n") + "\n"
        if stub:
            return reduce(lambda text, mistake: mistake.made_in(text), stub, self.solution)
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

    @property
    def has_variants(self) -> bool:
        return hasattr(self.module, "VARIANTS")

    def variant(self, name: str) -> Exercise:
        """The exercise as a student gets it: the choice of each VARIANTS follows from the name."""
        if not self.has_variants:
            return self
        name = unicodedata.normalize("NFC", name).strip()
        number = int.from_bytes(sha256(f"{self.name} {name}".encode()).digest())
        source, _, _ = self.source.partition("\nVARIANTS = ")
        for choices in self.module.VARIANTS.values():
            number, k = divmod(number, len(choices))
            for old, new in choices[k]:
                if old not in source:
                    raise ValueError(f"{self.file}: {old!r} of VARIANTS is not in the file")
                source = source.replace(old, new)
        return Exercise(self.path, source, varied=True)

    @contextmanager
    def taught(self) -> Iterator[None]:
        """Let the checker know the mistakes that it has no name for, in a variant all of them."""
        for entry in (mistake for mistake in self.mistakes if mistake.says or self.varied):
            made, says = cache(partial(self.spoiled, entry)), entry.says or entry.why.rstrip(".")
            backward, forward = (
                partial(_wrong_gradients, self.op, made),
                partial(_wrong_output, made),
            )
            registry.mistake(entry.id, of=self.op, says=says)(backward)
            registry.wrong_forward(entry.id, of=self.op, says=says)(forward)
        try:
            yield
        finally:
            registry.BACKWARD.pop(self.op, None)
            registry.FORWARD.pop(self.op, None)


def _sets(node: ast.Assign) -> set[str]:
    return {target.id for target in node.targets if isinstance(target, ast.Name)}


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
    """All exercises of the ladder, in their order."""
    return read_exercises(LADDER)


def read_exercises(folder: Path) -> tuple[Exercise, ...]:
    """The exercises in a folder, in their order. Raises ValueError for a file that is none."""
    paths = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    if not paths:
        raise ValueError(f"{str(folder)!r} has no exercises, such as 26_softplus.py")
    return tuple(map(_read, paths))


def _read(path: Path) -> Exercise:
    if not re.fullmatch(r"\d+_[a-z]\w*", path.stem):
        raise ValueError(f"{path}: its name wants a number, _ and a name, such as 26_softplus.py")
    exercise = Exercise(path, path.read_text(encoding="utf-8-sig"))
    try:
        missing = [name for name in WANTED if not hasattr(exercise.module, name)]
        missing += [name for name in exercise.answers if not hasattr(exercise.module, name)]
    except Exception as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ValueError(f"{path}{line}: it does not run: {in_short(error)}") from error
    if missing:
        raise ValueError(f"{path}: it has no {listed(missing)}")
    hints = exercise.module.HINTS
    if not (isinstance(hints, tuple | list) and [*map(type, hints)] == [str] * 3):
        raise ValueError(f"{path}: HINTS wants three texts: a question, a formula, a skeleton")
    return exercise


def find(what: str | int, exercises: Sequence[Exercise] = ()) -> Exercise:
    """The exercise of a number, a name or a file, those in ``exercises`` before the ladder.

    Raises ValueError where there is none.
    """
    wanted = re.sub(r"\.py$", "", str(what))
    known = [*exercises, *all_exercises()]
    for exercise in known:
        if wanted in (exercise.stem, exercise.name, str(exercise.number)):
            return exercise
    names = ", ".join(f"{exercise.number} {exercise.name}" for exercise in known)
    raise ValueError(f"there is no exercise {str(what)!r}; there are {names}")
