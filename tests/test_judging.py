"""What is said of an answer: which parts are right, and which mistake it was."""

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from numpy_se.checker.judge import Unusable
from numpy_se.exercises import check, judging, recognise, screen
from numpy_se.exercises import questions as questions_module
from numpy_se.exercises.exercise import Exercise, find
from numpy_se.exercises.questions import QUESTIONS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
SEEDS = 5 if settings.get_current_profile_name() == "search" else 1


def edited(name: str, *changes: tuple[str, str]) -> tuple[Exercise, Any]:
    """The solution of an exercise with edits, as an operation."""
    exercise, names = find(name), {"np": np}
    text = exercise.solution
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    exec(text, names)
    return exercise, names[name]


def judged(name: str, *changes: tuple[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    """The state of each gradient, and the report."""
    report = judging.judge(*edited(name, *changes))
    return {title: one["state"] for title, one in report["gradients"].items()}, report


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (lambda dy: (dy, dy.sum(axis=0)), "ok"),
        (lambda dy: [dy, dy.sum(axis=0)], "ok"),
        (lambda dy: (dy[:], dy.sum(axis=0)), "ok"),
        (lambda dy: (dy, dy[0] if len(dy) == 1 else dy.sum(axis=0)), "wrong"),
    ],
)
def test_dy_may_be_given_back_as_it_is(given: Any, verdict: str) -> None:
    """But no part of it: who writes into db would change dx."""
    report = judging.judge(find("bias"), lambda x, b: (x + b, given))
    assert report["verdict"] == verdict, report


def sigmoid_by_masks(x: Any) -> Any:
    y = np.zeros_like(x)  # and so it stays at x = 0
    y[x > 0] = 1 / (1 + np.exp(-x[x > 0]))
    y[x < 0] = 1 - 1 / (1 + np.exp(x[x < 0]))
    return y, lambda dy: dy * y * (1 - y)


def maximum_from_0(x: Any) -> Any:
    _, backward = find("max_pool").op(x)
    return np.max(x, axis=(2, 3), initial=0), backward


def softmax_by_the_largest_of_all(x: Any) -> Any:
    e = np.exp(x - x.max())
    y = e / e.sum(axis=1, keepdims=True)
    return y, lambda dy: y * (dy - np.sum(y * dy, axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("name", "op"),
    [
        ("sigmoid", sigmoid_by_masks),
        ("max_pool", maximum_from_0),
        ("softmax", softmax_by_the_largest_of_all),
    ],
)
def test_a_forward_pass_is_tried_where_it_may_differ(name: str, op: Any) -> None:
    """At zero, with negative numbers alone, and with rows that lie far apart."""
    report = judging.judge(find(name), op)
    assert (report["verdict"], report["kind"]) == ("wrong", "forward")


SECOND = """
def se_block(x, w1, w2):
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))
    def backward(dy):
        du = np.sum(x * dy, axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h >= -0.01)
        return s[:, :, None, None] * dy, dh.T @ z, du.T @ a
    return x * s[:, :, None, None], backward
"""


def test_a_second_mistake_does_not_hide_behind_the_first(tmp_path: Path) -> None:
    """dw1 is right at random values, and wrong at others, behind a dx that is wrong at all."""
    path = tmp_path / "18_se_block.py"
    path.write_text(f"import numpy as np\n{SECOND}")
    report = judging.judge_file(find("se_block"), path)
    assert "se.squeeze-path" in [cause["id"] for cause in report["causes"]]
    states = {name: one["state"] for name, one in report["gradients"].items()}
    assert states == {"dx": "wrong", "dw1": "wrong", "dw2": "right"}


FRAMES = """
import gc, sys
def excite_steps(ds, z, h, a, s, w1, w2):
    found, frame = [], sys._getframe()
    while frame:
        found += [f for f in frame.f_globals.values() if hasattr(f, "__code__")]
        frame = frame.f_back
    found += [f for f in gc.get_objects() if type(f).__name__ == "function"]
    for f in found:
        if f.__code__.co_name == "excite_steps" and f is not excite_steps:
            return f(ds, z, h, a, s, w1, w2)
"""


def test_the_solution_of_an_exercise_in_steps_is_out_of_reach(tmp_path: Path) -> None:
    path = tmp_path / "15_excite_steps.py"
    path.write_text(FRAMES)
    states = judging.judge_file(find(15), path)["gradients"].values()
    assert {one["state"] for one in states}.isdisjoint({"right"})


def test_a_hint_belongs_to_its_mistake_alone() -> None:
    """What is too small by N in dw has a hint, and what is too small by 2 in dx has none."""
    exercise = find("linear")
    (mistake,) = [one for one in exercise.mistakes if one.id == "any.factor-too-small"]
    for dx, dw, wanted in [(1, 1 / 2, []), (1 / 2, 1, []), (1, None, [mistake])]:

        def op(x: Any, w: Any, dx: float = dx, dw: Any = dw) -> Any:
            return x @ w.T, lambda dy: (dx * dy @ w, (dw or 1 / len(x)) * dy.T @ x)

        report = judging.judge(exercise, op)
        assert mistake.id in [cause["id"] for cause in report["causes"]]
        assert recognise.recognised(exercise, report["causes"]) == wanted


ROUNDS = "the forward pass rounds numbers on the way to y, as float32 does"
SINGLE = "s = np.float32(1 / (1 + np.exp(-(a @ w2.T))))"
SCALE = ("y = gate * x", "y = gate + x")


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ([], {"dx": "task", "ds": "task"}),
        ([("dx = gate * dy", "dx = dy.copy()")], {"dx": "right", "ds": "task"}),
        ([("dx = gate * dy", "dx = 2 * gate * dy")], {"dx": "wrong", "ds": "task"}),
        ([("dx = gate * dy", "dx = x**3 * dy")], {"dx": "undecided", "ds": "task"}),
        ([("dx = gate * dy", "dy *= gate\n        dx = dy")], {"dx": "task", "ds": "undecided"}),
        ([("np.sum(x * dy,", "np.sum(dy,")], {"dx": "task", "ds": "right"}),
    ],
)
def test_gradients_of_the_task_count_beside_another_y(change: Any, wanted: Any) -> None:
    """One may fit the y of the student, or be that of the solution.

    Else it may follow from the wrong y, and is wrong only if the mistake in it is known.
    """
    exercise, _ = edited("channel_scale")
    states, report = judged("channel_scale", SCALE, *change)
    assert states == wanted
    assert report["kind"] == "forward"
    told = [cause for cause in report["causes"] if cause["id"] != judging.CHANGED]
    accused = {name for cause in told for name in cause["gradients"]}
    assert accused == {"y", *(name for name, state in wanted.items() if state == "wrong")}
    marks = screen.marks(exercise, report, set())
    assert (marks["dx"] == screen.TASK) == (wanted["dx"] == "task")


def test_a_gradient_of_the_task_is_that_at_kinks_too() -> None:
    states, _ = judged("relu", ("y = np.maximum(x, 0)", "y = np.maximum(x, 0) + 1"))
    assert states == {"dx": "task"}  # and that of its y
    states, _ = judged("relu", ("y = np.maximum(x, 0)", "y = 2 * np.maximum(x, 0)"))
    assert states == {"dx": "task"}
    rest = ("dx = dy * (x > 0)", "dx = dy * np.where(x == 0, 7, x > 0)")
    states, _ = judged("relu", ("y = np.maximum(x, 0)", "y = 2 * np.maximum(x, 0)"), rest)
    assert states == {"dx": "undecided"}


def test_gradients_follow_from_a_wrong_forward_pass_and_are_not_accused() -> None:
    states, report = judged("times_mean", ("x.mean(axis=1,", "x.max(axis=1,"))
    assert states == {"dx": "undecided"}
    assert all(cause["gradients"] == ["y"] for cause in report["causes"])


ROOT_OF_3 = (("y = x**2", "y = np.cbrt(x)"), ("2 * x * dy", "dy / (3 * np.cbrt(x) ** 2)"))


def test_a_y_of_ones_own_is_not_held_against_the_solution_at_zero() -> None:
    states, report = judged("square", *ROOT_OF_3)
    assert (states, report["kind"]) == ({"dx": "right"}, "forward")


def test_what_is_computed_from_changed_numbers_gets_no_other_name() -> None:
    first = ("dx = gate * dy", "dx = dy\n        dx *= gate")
    states, report = judged("channel_scale", first)
    assert states == {"dx": "right", "ds": "wrong"}
    assert [cause["id"] for cause in report["causes"]] == [judging.CHANGED]
    exercise, op = edited("channel_scale", ("y = gate * x", "x *= gate\n    y = x.copy()"))
    report = judging.judge(exercise, op)
    (cause,) = report["causes"]
    assert cause["text"].startswith("the forward pass changes x: ")
    lines = screen.told(report, screen.marks(exercise, report, set()))
    assert sum("changes x" in line for line in lines) == 1


def test_gradients_are_tried_where_an_argument_is_zero() -> None:
    """H is 0 behind a first layer of zeros, and a / h is no number there."""
    states, report = judged("excitation", ("(h > 0)", "(a / h)"))
    assert states == {"dx": "wrong", "dw1": "wrong", "dw2": "right"}
    assert report["verdict"] == "wrong"
    assert "dx is not finite where x is 0 everywhere" in [f["text"] for f in report["findings"]]


def test_a_forward_pass_that_rounds_on_the_way_accuses_no_gradient() -> None:
    rounded = ("z @ w1.T", "z.astype(np.float32) @ w1.T.astype(np.float32)")
    states, report = judged("excitation", rounded)
    assert "wrong" not in states.values()
    assert any("the forward pass computes with w1 in float32" in text for text in report["limits"])
    report = judging.judge(*edited("se_block", ("s = 1 / (1 + np.exp(-(a @ w2.T)))", SINGLE)))
    assert ROUNDS in [*report["limits"], *(f["text"] for f in report["findings"])]
    marks = screen.marks(find("se_block"), report, set())
    assert marks == {"y": screen.RIGHT, **dict.fromkeys(["dx", "dw1", "dw2"], screen.UNDECIDED)}


@pytest.mark.parametrize(
    "changes",
    [
        [("y = np.maximum(x, 0)", "x[x < 0] = 0\n    y = x")],
        [("y = np.maximum(x, 0)", "y = np.maximum(x, 0, out=x)")],
    ],
)
def test_a_y_with_right_numbers_is_right_whatever_else_is_broken(changes: Any) -> None:
    exercise, op = edited("relu", *changes)
    report = judging.judge(exercise, op)
    assert report["verdict"] == "wrong"
    assert screen.marks(exercise, report, set()) == {"y": screen.RIGHT, "dx": screen.RIGHT}


P_OF_LABEL = "y = -np.mean(np.log(np.exp(log_p)[rows, labels]))"


def late_after(calls: int, factor: int) -> Any:
    """The square, whose time is over after so many calls of backward."""
    count = iter(range(calls))

    def square(x: Any) -> Any:
        def backward(dy: Any) -> Any:
            if next(count, None) is None:
                raise Unusable("timeout", "it takes too long")
            return factor * x * dy

        return x**2, backward

    return square


@pytest.mark.parametrize("factor", [1, 2])
def test_what_is_known_stays_when_the_time_is_over(factor: int) -> None:
    """At any moment: what is wrong stays wrong, and nothing is right or passed."""
    exercise, found = find("square"), set()
    count = 0

    def counted(x: Any) -> Any:
        def backward(dy: Any) -> Any:
            nonlocal count
            count += 1
            return factor * x * dy

        return x**2, backward

    judging.judge(exercise, counted)
    for calls in {1, count // 2, count - 20, count - 1}:
        try:
            report = judging.judge(exercise, late_after(calls, factor))
        except Unusable:
            continue  # nothing was known yet
        found.add((report["gradients"]["dx"]["state"], report["verdict"]))
        assert any(judging.LATE in line for line in screen.notes(report))
    assert found == {("wrong", "wrong") if factor == 1 else ("undecided", "inconclusive")}


def test_a_wrong_y_stays_known_when_the_time_is_over() -> None:
    def cube(x: Any) -> Any:
        return x**3, late_after(0, 2)(x)[1]

    report = judging.judge(find("square"), cube)
    assert report["late"]
    assert report["kind"] == "forward"
    marks = screen.marks(find("square"), report, set())
    assert marks["y"] == screen.WRONG
    assert marks["dx"] != screen.WRONG


def test_an_answer_that_ends_its_process_is_not_late() -> None:
    def ends(x: Any) -> Any:
        def backward(dy: Any) -> Any:
            raise Unusable("exit", "it ends")

        return x**2, backward

    with pytest.raises(Unusable, match="it ends"):
        judging.judge(find("square"), ends)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("cross_entropy", [("y = -np.mean(log_p[rows, labels])", P_OF_LABEL)]),
        ("softmax", [("x.max(axis=1, keepdims=True)", "x.mean(axis=1, keepdims=True)")]),
    ],
)
def test_an_overflow_far_away_costs_y(name: str, changes: Any) -> None:
    _, report = judged(name, *changes)
    assert report["kind"] == "forward"
    assert report["causes"][0]["id"] == "any.nan-y"


def test_words_of_an_exercise_are_its_own() -> None:
    report = judging.judge(
        *edited("excitation", ("def backward(dy):", "def backward(dy):\n        dy = 1"))
    )
    assert not any(re.search(r"\bds\b", cause["text"]) for cause in report["causes"])


def test_every_cause_that_any_function_can_have_has_a_question() -> None:
    files = (ROOT / "numpy_se").rglob("*.py")
    texts = [path.read_text(encoding="utf-8") for path in files if path.name != "questions.py"]
    said = {code for text in texts for code in re.findall(r'"((?:any|state)\.[a-z0-9-]+)"', text)}
    assert said == QUESTIONS.keys()
    tree = ast.parse(Path(questions_module.__file__).read_text(encoding="utf-8"))
    assert tree.body
    assert all(re.search(r"[?.]$", text) and "=" not in text for text in QUESTIONS.values())


def test_a_mistake_without_a_hint_of_its_own_gets_a_question() -> None:
    exercise, op = edited("linear", ("dw = dy.T @ x", "dw = -dy.T @ x"))
    report = judging.judge(exercise, op)
    hints = recognise.hints_for(exercise, report["causes"])
    assert hints == {"any.sign": QUESTIONS["any.sign"]}


CLASSES = """
import numpy as np
class Center:
    def forward(self, a):
        return a - a.mean(axis=1, keepdims=True)
    def backward(self, dy):
        return dy - dy.mean(axis=1, keepdims=True)
class WeightedSum:
    def forward(self, p, w):
        self.kept = p, w
        return p @ w
    def backward(self, dy):
        p, w = self.kept
        return np.outer(dy, w), p.T @ dy
class Gate:
    def forward(self, x, s):
        self.kept = x, np.tanh(s)
        return x * self.kept[1]
    def backward(self, dy):
        x, t = self.kept
        return dy * t, dy * x * (1 - t**2)
"""


def test_several_classes_answer_an_exercise(tmp_path: Path) -> None:
    path = tmp_path / "11_find_the_bug.py"
    path.write_text(CLASSES)
    report = judging.judge_file(find(11), path)
    assert report["verdict"] == "ok", report
    names: dict[str, Any] = {}
    exec(CLASSES, names)
    assert check(11, *(names[name] for name in ("Center", "WeightedSum", "Gate")))


SIZED = """
class Linear:
    def __init__(self, inputs, outputs): pass
    def forward(self, x): pass
    def backward(self, dy): pass
"""


def test_a_class_that_wants_sizes_is_told_what_a_student_can_do(tmp_path: Path) -> None:
    path = tmp_path / "07_linear.py"
    path.write_text(SIZED)
    headline = judging.judge_file(find(7), path)["headline"]
    assert "it wants forward(x, w) and backward(dy), and no sizes to be made" in headline
    assert "from_class" not in headline
