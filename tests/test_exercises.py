"""The exercises: each file of the ladder is tested by being there, and so are the commands.

Each run takes every third solution and a few mistakes; ``--hypothesis-profile=search`` takes all,
at several seeds.
"""

import ast
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

import numpy_se as se
from numpy_se import fused
from numpy_se.exercises import answer as answers
from numpy_se.exercises import check, folder, judging, progress, recognise, screen, watch
from numpy_se.exercises.__main__ import main
from numpy_se.exercises.exercise import Exercise, all_exercises, find
from numpy_se.exercises.mistake import Mistake

SEARCH = settings.get_current_profile_name() == "search"
SEEDS, EACH, STEP = (5, 1, 1) if SEARCH else (1, 3, 37)
EXERCISES = [pytest.param(one, id=one.stem) for one in all_exercises()]
MISTAKES = [
    pytest.param(exercise, mistake, id=f"{exercise.stem}-{mistake.id}")
    for exercise in all_exercises()
    for mistake in exercise.mistakes
][::STEP]

PLAN = (Path(__file__).parent.parent / "tutorials" / "teaching.md").read_text(encoding="utf-8")
PLAN_MISTAKES = re.findall(r"^\| (\d+) \| `(.+)` \| (.+) \| (.+) \|$", PLAN, flags=re.MULTILINE)


# The ladder.


@pytest.mark.parametrize("exercise", EXERCISES[::EACH])
def test_a_solution_is_accepted(exercise: Exercise) -> None:
    for seed in range(SEEDS):
        report = judging.judge(exercise, exercise.op, seed)
        assert report["verdict"] == "ok", report


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES)
def test_a_mistake_is_rejected_and_recognised(exercise: Exercise, mistake: Mistake) -> None:
    report = recognise.report_of(exercise, mistake)
    assert report["verdict"] == "wrong"
    assert mistake.id in [cause["id"] for cause in report["causes"]], report
    assert mistake in recognise.recognised(exercise, report["causes"])


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_does_not_pass(exercise: Exercise, tmp_path: Path) -> None:
    folder.write(exercise, tmp_path)
    path = tmp_path / exercise.file
    assert set(exercise.answers) <= answers.names_in(path)
    if not answers.gaps_in(exercise, path):
        assert judging.judge_file(exercise, path)["verdict"] != "ok"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_an_exercise_is_complete_and_fits_the_screen(exercise: Exercise, tmp_path: Path) -> None:
    assert len(exercise.hints) == 3
    assert len({mistake.id for mistake in exercise.mistakes}) >= 4
    assert 5 <= exercise.minutes <= 120
    assert exercise.op.__name__.isidentifier()
    folder.write(exercise, tmp_path)
    texts = [(tmp_path / exercise.file).read_text(), *map("\n".join, _screens(exercise))]
    for line in "\n".join(texts).split("\n"):
        assert len(line) <= screen.COLUMNS, line
        assert line == line.rstrip(), line


def _screens(exercise: Exercise) -> list[list[str]]:
    return [
        [screen.head(exercise, 3, 25), screen.row(exercise, progress.Progress(True, True))],
        *(screen.indented(hint, by=2) for hint in exercise.hints),
        screen.thoughts(exercise.mistakes),
        screen.lessons(exercise, {"resolution": {"dx": 1e-9}}),
        screen.again(exercise),
        screen.onward(exercise),
    ]


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_file_of_a_student_has_the_task_and_no_solution(
    exercise: Exercise, tmp_path: Path
) -> None:
    folder.write(exercise, tmp_path)
    text = (tmp_path / exercise.file).read_text()
    assert exercise.task
    told = ast.get_docstring(ast.parse(text)) or ""
    about = f"Exercise {exercise.number}, about {exercise.minutes} minutes."
    assert told == f"{exercise.title}.\n\n{about}\n\n{exercise.task}\n\n{folder.KEEP}"
    assert exercise.solution not in text
    assert not any(hint in text for hint in exercise.hints)


def test_numbers_follow_each_other() -> None:
    numbers = [exercise.number for exercise in all_exercises()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_an_edit_has_one_place() -> None:
    with pytest.raises(ValueError, match="'x' is there 2 times"):
        Mistake("any.sign", "x", "-x", hint="", why="").made_in("x + x")


def test_a_check_of_ones_own_meets_three_right_blocks_and_eight_wrong_ones() -> None:
    exercise = find("block_check")
    y, _ = exercise.op(np.ones(11))
    assert y.tolist() == [1] * 3 + [0] * 8


def test_a_free_exercise_takes_any_curve() -> None:
    def ramp(u: Any) -> Any:
        return np.clip(u, -1, 1), lambda dy: dy * (abs(u) < 1)

    report = judging.judge(find("own_gate"), ramp)
    assert report["verdict"] == "ok"
    assert screen.marks(find("own_gate"), report, set())["y"] == screen.OWN


def test_chapters_name_exercises_that_exist() -> None:
    chapters = sorted((Path(__file__).parent.parent / "tutorials").glob("[0-9]*.py"))
    numbers: set[int] = set()
    for chapter in chapters:
        text = chapter.read_text(encoding="utf-8")
        _, questions, _ = re.split(r"^# (?:Questions|Answers)\n# -+\n", text, flags=re.MULTILINE)
        last = questions.rstrip("#\n").split("\n")[-1]
        assert ("# Now exercise" in text) == last.startswith("# Now exercise")
        for first, _, end in re.findall(r"(\d+)( to (\d+))?", last) if "# Now" in last else ():
            numbers |= set(range(int(first), int(end or first) + 1))
    assert numbers == {exercise.number for exercise in all_exercises()}


def test_the_minutes_of_the_plan_are_those_of_its_exercises() -> None:
    rows = re.findall(r"^\| .* \| ([\d, ]+) \| (\d+) \|$", PLAN, flags=re.MULTILINE)
    plan = {numbers: [find(number) for number in numbers.split(", ")] for numbers, _ in rows}
    planned = {one.number for homework in plan.values() for one in homework}
    assert {*range(1, 19)} <= planned <= {one.number for one in all_exercises()}
    for numbers, minutes in rows:
        assert sum(exercise.minutes for exercise in plan[numbers]) == int(minutes)


def test_the_plan_names_mistakes_with_their_questions() -> None:
    for number, code, _, question in PLAN_MISTAKES:
        known = {(one.id, " ".join(one.hint.split())) for one in find(number).mistakes}
        assert (code, question) in known


@pytest.mark.parametrize(("number", "code", "words", "question"), PLAN_MISTAKES[:: 4 * EACH])
def test_the_plan_says_what_the_report_says(
    number: str, code: str, words: str, question: str
) -> None:
    exercise = find(number)
    mistake = next(one for one in exercise.mistakes if one.hint == question and one.id == code)
    report = recognise.report_of(exercise, mistake)
    told = screen.told(report, screen.marks(exercise, report, set()))
    assert words in " ".join(line.strip() for line in told)


# The check of an answer.

LOOPS = """
import numpy as np
def linear(x, w):
    y = np.zeros((len(x), len(w)))
    for n in range(len(x)):
        for o in range(len(w)):
            y[n, o] = sum(x[n, i] * w[o, i] for i in range(x.shape[1]))
    def backward(dy):
        return [np.einsum("no,oi->ni", dy, w), np.einsum("no,ni->oi", dy, x)]
    return y, backward
"""
CLASS = """
class Linear:
    def forward(self, x, w):
        self.x, self.w = x, w
        return x @ w.T
    def backward(self, dy):
        return dy @ self.w, dy.T @ self.x
"""
CACHE = """
def linear_forward(x, w):
    return x @ w.T, (x, w)
def linear_backward(dout, cache):
    x, w = cache
    return dout @ w, dout.T @ x
"""
OTHER_NAMES = """
def linear(inputs, weight):
    return inputs @ weight.T, lambda grad: (grad @ weight, grad.T @ inputs)
"""
PACKAGE = [
    ("relu", se.relu),
    ("sigmoid", se.sigmoid),
    ("linear", se.linear),
    ("mean_pool", se.global_avg_pool),
    ("max_pool", se.global_max_pool),
    ("channel_scale", se.channel_scale),
    ("cross_entropy", se.softmax_cross_entropy),
    ("excitation", se.excitation),
    ("se_block", fused.squeeze_excite),
]


@pytest.mark.parametrize("style", [LOOPS, CLASS, CACHE, OTHER_NAMES])
def test_a_right_answer_in_another_style_is_accepted(style: str, tmp_path: Path) -> None:
    path = tmp_path / "07_linear.py"
    path.write_text(style)
    report = judging.judge_file(find(7), path)
    assert report["verdict"] == "ok", report


@pytest.mark.parametrize(("name", "op"), PACKAGE[::EACH])
def test_an_operation_of_the_package_is_accepted(name: str, op: Any) -> None:
    exercise = find(name)
    report = judging.judge(exercise, answers.op_of_functions(exercise, [op]))
    assert report["verdict"] == "ok", report


def test_a_notebook_checks_a_function(capsys: Any) -> None:
    assert check("square", find("square").op)
    assert "passed" in capsys.readouterr().out
    assert not check(3, lambda x: (x * x, lambda dy: x * dy))
    assert "think: How much does 3 * 3 grow" in capsys.readouterr().out


def test_what_the_checker_was_taught_is_forgotten() -> None:
    from numpy_se.checker.mistakes import registry

    exercise = find("central_difference")
    with exercise.taught():
        assert exercise.op in registry.BACKWARD
    assert exercise.op not in registry.BACKWARD
    assert exercise.op not in registry.FORWARD


# The commands.

UNWRITTEN = "y = ...\nprint(y)"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert main(["start", str(tmp_path / "my_work")]) == 0
    monkeypatch.chdir(tmp_path / "my_work")
    return tmp_path / "my_work"


def answer(desk: Path, number: int, text: str) -> None:
    (desk / find(number).file).write_text(text)


def stored(desk: Path) -> Any:
    return json.loads((desk / progress.FILE).read_text())


def test_a_student_climbs(desk: Path, capsys: Any) -> None:
    assert main(["check", "7"]) == 1
    out = capsys.readouterr().out
    assert re.search("y +not written yet\n +dx +not written yet", out)
    answer(desk, 7, CACHE.replace("dout.T @ x", "dout.T @ x / len(x)"))
    assert main(["check", "7"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"y +right\n +dx +right\n +dw +WRONG", out)
    assert "dw: consistent with: it is N times too small" in out
    assert "think: Let each row be there twice." in out
    assert "worst entry dw[" in out
    answer(desk, 7, CACHE)
    assert main(["check", "7"]) == 0
    out = capsys.readouterr().out
    assert "Common wrong ways" in out
    assert "One solution" in out
    assert all(len(line) <= screen.COLUMNS for line in out.split("\n"))
    own = stored(desk)["linear"]
    assert own["passed"]
    assert own["tries"] == 2
    assert own["met"] == {"any.factor-too-small": 1}


def test_a_wrong_forward_pass_is_told_first(desk: Path, capsys: Any) -> None:
    answer(desk, 5, "import numpy as np\ndef relu(x):\n    return abs(x), lambda dy: dy\n")
    assert main(["check", "relu"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"y +WRONG\n", out)
    assert "think: What should y be where x is -2?" in out


def test_the_first_wrong_step_is_told(desk: Path, capsys: Any) -> None:
    text = find("excite_steps").solution.replace("da * (h > 0)", "da * a")
    answer(desk, 15, "import numpy as np\n" + text.replace("dw1 = dh.T @ z", "dw1 = ..."))
    assert main(["check", "15"]) == 1
    out = capsys.readouterr().out
    marks = re.findall(r"^  (\w+) +(right|WRONG|not judged yet)$", out, flags=re.MULTILINE)
    right, later = dict.fromkeys(["du", "da", "dw2"], "right"), ["dz", "dw1"]
    assert dict(marks) == {**right, "dh": "WRONG", **dict.fromkeys(later, "not judged yet")}
    assert "think: Is the line of ReLU steeper" in out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1/0", "ZeroDivisionError: division by zero (line 1 of 03_square.py)"),
        ("def square(x:", "SyntaxError"),
        ("def cube(x): ...", "03_square.py has no function 'square'; it has cube not passed next:"),
        ("while True: pass", "it takes longer than 1 s"),
        ("print('here I am'); 1/0", "here I am"),
    ],
)
def test_a_file_that_does_not_run_gets_a_clear_report(
    desk: Path, capsys: Any, text: str, says: str
) -> None:
    answer(desk, 3, text)
    timeout = "1" if "while" in text else "60"
    assert main(["--timeout", timeout, "check", "3"]) == 1
    assert says in " ".join(capsys.readouterr().out.split())


def test_hints_come_one_by_one(desk: Path, capsys: Any) -> None:
    for number in (1, 2, 3, 3):
        assert main(["hint", "3"]) == 0
        assert f"hint {number} of 3" in capsys.readouterr().out


def test_a_solution_that_was_seen_is_noted(desk: Path, capsys: Any) -> None:
    assert main(["show", "3"]) == 0
    assert "2 * x * dy" in capsys.readouterr().out
    assert stored(desk)["square"]["seen"]
    assert main(["list"]) == 0
    assert re.search(r" 3 .*open, seen\n", capsys.readouterr().out)


def test_a_reset_keeps_the_old_file(desk: Path, capsys: Any) -> None:
    answer(desk, 3, "mine")
    for _ in range(2):
        assert main(["reset", "3"]) == 0
    assert (desk / "03_square.old.py").read_text() == "mine"
    assert "y = ..." in (desk / "03_square.py").read_text()


def test_a_second_start_overwrites_nothing(desk: Path) -> None:
    answer(desk, 3, "mine")
    assert main(["start", str(desk)]) == 0
    assert (desk / "03_square.py").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"square": 3}', '{"square": {"met": 1}}'])
def test_a_damaged_state_does_no_harm(desk: Path, text: str) -> None:
    (desk / progress.FILE).write_text(text)
    assert main(["list"]) == 0
    assert main(["hint", "square"]) == 0
    assert stored(desk)["square"]["hints"] == 1


def test_commands_refuse_in_one_line(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert "error: there are no exercises here" in capsys.readouterr().err
    assert main(["start", "here"]) == 0
    monkeypatch.chdir(tmp_path / "here")
    assert main(["show", "99"]) == 2
    assert "error: there is no exercise '99'" in capsys.readouterr().err


def test_ctrl_c_is_one_line(desk: Path, monkeypatch: Any, capsys: Any) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    answer(desk, 1, UNWRITTEN)
    monkeypatch.setattr("numpy_se.exercises.desk.changes", interrupt)
    assert main(["watch"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_file_is_checked_when_it_changes(desk: Path, monkeypatch: Any, capsys: Any) -> None:
    answer(desk, 1, UNWRITTEN)
    monkeypatch.setattr("numpy_se.exercises.desk.changes", lambda _: [{"03_square.py", "my.py"}])
    assert main(["watch"]) == 0
    heads = [line for line in capsys.readouterr().out.split("\n") if line.endswith(" of 25")]
    assert [line.split()[0] for line in heads] == ["1", "3"]


def test_changes_are_seen_without_watchfiles(tmp_path: Path, monkeypatch: Any) -> None:
    def write(seconds: float) -> None:
        (tmp_path / "03_square.py").write_text("x = 1")

    monkeypatch.setattr(time, "sleep", write)
    assert next(watch._polled(tmp_path)) == {"03_square.py"}
