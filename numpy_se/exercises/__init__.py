"""Exercises: write gradients by hand, and be told which mistake it was.

ladder/         the exercises, one a file, each found by being there
exercise.py     what such a file holds
mistake.py      a mistake: an edit that makes the solution wrong
answer.py       what a student has written
judging.py      the check of an answer
stand_ins.py    operations that stand in for a part of it
recognise.py    which mistakes were made, and what to think about
questions.py    questions for mistakes that any function can have
folder.py       the student's folder: tasks and stubs
progress.py     how far the student is
screen.py       what the student reads
watch.py        waits for changes of files
desk.py         the commands, which __main__.py reads

In a notebook, ``check("se_block", my_function)`` prints what the command does.
"""

from __future__ import annotations

from typing import Any

from numpy_se.exercises.mistake import Mistake

__all__ = ["Mistake", "check"]


def check(name: str | int, *functions: Any, variant: str | None = None) -> bool:
    """Check functions, or classes, as the answer to an exercise; print what was found.

    ``variant`` is the id of a student who has variants of the exercises. What the forward pass
    raises comes through.
    """
    from numpy_se.exercises import screen
    from numpy_se.exercises.answer import op_of_functions
    from numpy_se.exercises.exercise import find
    from numpy_se.exercises.judging import judge
    from numpy_se.exercises.recognise import hints_for

    exercise = find(name) if variant is None else find(name).variant(variant)
    report = judge(exercise, op_of_functions(exercise, functions))
    marks = screen.marks(exercise, report, set())
    hints = hints_for(exercise, screen.causes(report, marks))
    passed: bool = report["verdict"] == "ok"
    last = screen.lessons(exercise, report) if passed else screen.notes(report)
    screen.show(
        screen.table(marks), screen.told(report, marks), screen.thoughts(hints.values()), last
    )
    return passed
