"""Grading: what is read, what it is worth, and what comes out."""

import csv
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import classroom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_se.exercises import folder, judging, recognise, screen
from numpy_se.exercises.__main__ import main
from numpy_se.exercises.exercise import find, read_exercises
from numpy_se.exercises.grading import feedback, gradescope, tables
from numpy_se.exercises.grading.grade import grade, refuse_wrong_solution
from numpy_se.exercises.grading.mark import Mark, failed, mark
from numpy_se.exercises.grading.notebook import code_of
from numpy_se.exercises.grading.points import Points, read_points
from numpy_se.exercises.grading.submissions import Submission, submissions

pytestmark = pytest.mark.slow

SEARCH = settings.get_current_profile_name() == "search"
SE = find("se_block")
GRADING = Path(__file__).parent.parent / "tutorials" / "grading.md"


def marked(tmp_path: Path, text: str | bytes, points: Points | None = None) -> Mark:
    """The mark of an answer to the SE block."""
    place = tmp_path / "handed_in"
    place.mkdir(exist_ok=True)
    classroom.write_file(place, "alice", text)
    (own,) = submissions(place, tmp_path / "workshop")
    return mark(SE, own, points or Points(), timeout=60)


def made_up(name: str, note: str = "", exercise: str = "square", points: float = 1.0) -> Mark:
    states = {"y": screen.RIGHT, "dx": screen.WRONG}
    worth = {"y": points, "dx": 0.0}
    return Mark(name, exercise, states, worth, points, 2.0, ("any.factor",), {}, note, "text")


# What is read.


def test_files_folders_zips_and_notebooks_give_the_same(tmp_path: Path) -> None:
    pytest.importorskip("nbformat")
    ways = [
        classroom.write_file,
        classroom.write_folder,
        classroom.write_zip,
        classroom.write_notebook,
    ]
    text = classroom.STYLES["plain"]
    place = tmp_path / "handed_in"
    place.mkdir()
    for way in ways:
        way(place, way.__name__, text)
    own = submissions(place, tmp_path / "workshop")
    assert [one.id for one in own] == ["write_file", "write_folder", "write_notebook", "write_zip"]
    assert [len(one.files) for one in own] == [1, 1, 1, 1]
    for one in own:
        assert "def se_block" in one.files[0].read_text()
        assert "print" not in one.files[0].read_text()
    whole = tmp_path / "class.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        for path in sorted(place.rglob("*")):
            archive.write(path, f"class/{path.relative_to(place)}")
    again = submissions(whole, tmp_path / "again")
    assert [one.id for one in again] == [one.id for one in own]


def test_an_id_is_found_in_a_longer_name(tmp_path: Path) -> None:
    place = tmp_path / "handed_in"
    place.mkdir()
    for name in ("Ada L_12_assignsubmission_file", "Bob_13_late"):
        classroom.write_folder(place, name, "x = 1")
    classroom.write_file(place, "Bob_14_part", "y = 2")
    own = submissions(place, tmp_path / "w", r"^([^_]+)_")
    assert [(one.id, len(one.files)) for one in own] == [("Ada L", 1), ("Bob", 2)]
    with pytest.raises(ValueError, match=r"finds nothing in 'Ada L_12"):
        submissions(place, tmp_path / "v", "^Bob")
    with pytest.raises(ValueError, match="does not read"):
        submissions(place, tmp_path / "u", "(")


def _slip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../18_se_block.py", "x = 1")


def _many(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(501):
            archive.writestr(f"{k}.py", "")


def _bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("18_se_block.py", b"\0" * (1 << 27))


def _no_zip(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 and no more")


def _link(path: Path) -> None:
    entry = zipfile.ZipInfo("18_se_block.py")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "../solution.py")


@pytest.mark.parametrize("spoil", [_slip, _many, _bomb, _no_zip, _link])
def test_a_bad_zip_is_a_note_of_its_student_alone(spoil: Any, tmp_path: Path) -> None:
    place = tmp_path / "handed_in"
    classroom.write_folder(place, "alice", "x = 1")
    spoil(place / "bob.zip")
    alice, bob = submissions(place, tmp_path / "workshop")
    assert (len(alice.files), alice.notes) == (1, [])
    assert bob.files == []
    assert len(bob.notes) == 1
    own = mark(SE, bob, Points(), timeout=60)
    assert (own.points, own.max_points) == (0, 4)
    assert own.note.startswith("bob.zip cannot be read")
    assert not (tmp_path / SE.file).exists()


def test_links_lead_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "solution.py"
    secret.write_text(classroom.RIGHT)
    place = tmp_path / "handed_in"
    classroom.write_folder(place, "alice", "x = 1")
    (place / "alice" / "work" / "linked.py").symlink_to(secret)
    (place / "bob.py").symlink_to(secret)
    alice, bob = submissions(place, tmp_path / "workshop")
    assert [path.name for path in alice.files] == [SE.file]
    assert bob.files == []


CELLS = {
    "passed = check('se_block', f)\ndef f(): pass": "def f():\n    pass",
    "a = 2\nb = a\nc = print(b)\ndef f(): return b": "a = 2\nb = a\n\ndef f():\n    return b",
    "%time 1\nt = %timeit -o 1\n!ls\ndef f(): pass": "def f():\n    pass",
    "%%time\ndef f(): pass": "def f():\n    pass",
    "%%timeit -n 3\nimport os\nf = os.getcwd()": "import os",
    "%%bash\ndef f(): pass": "",
    "x = (7\n% 3)\ndef f(): return x": "x = 7 % 3\n\ndef f():\n    return x",
    "from numpy_se.exercises import check\nimport os": "import os",
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_notebook_gives_what_it_defines(cell: str, tmp_path: Path) -> None:
    pytest.importorskip("nbformat")
    classroom.write_notebook(tmp_path, "one", cell)
    text, dropped = code_of(tmp_path / "one.ipynb")
    assert text == CELLS[cell]
    assert len(dropped) == 1
    assert dropped[0].startswith("code cell 3 does not read: SyntaxError: '(' was never closed")


def test_notebooks_want_nbformat(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "nbformat", None)
    (tmp_path / "alice.ipynb").write_text("{}")
    assert main(["grade", str(tmp_path), "--only", "3"]) == 2
    assert "pip install nbformat" in capsys.readouterr().err


def test_one_bad_file_leaves_the_others(tmp_path: Path) -> None:
    place = tmp_path / "handed_in"
    classroom.write_folder(place, "alice", classroom.RIGHT)
    work = place / "alice"
    (work / "a.zip").write_bytes(b"PK")
    for name in ("b", "c"):
        (work / name).mkdir()
        classroom.write_zip(work / name, "homework", f"{name} = 1")
    (work / "work" / "18_se_block.zip").write_bytes((work / "b" / "homework.zip").read_bytes())
    (own,) = submissions(place, tmp_path / "workshop")
    assert len(own.files) == len(set(own.files)) == 4
    assert [note.partition(":")[0] for note in own.notes] == ["a.zip cannot be read"]


def test_a_damaged_zip_is_a_note(tmp_path: Path) -> None:
    place = tmp_path / "handed_in"
    place.mkdir()
    with zipfile.ZipFile(place / "bob.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(SE.file, classroom.RIGHT)
    data = bytearray((place / "bob.zip").read_bytes())
    data[60:90] = bytes(30)
    (place / "bob.zip").write_bytes(data)
    (own,) = submissions(place, tmp_path / "workshop")
    assert (own.files, len(own.notes)) == ([], 1)


def test_who_hands_in_no_python_has_a_row(tmp_path: Path) -> None:
    (tmp_path / "bob.rar").write_bytes(b"Rar!")
    (own,) = submissions(tmp_path, tmp_path.parent / "workshop")
    assert (own.id, own.notes) == ("bob", ["bob.rar has no .py, .ipynb, .zip"])


def test_a_solved_notebook_beside_the_stub_counts(tmp_path: Path) -> None:
    pytest.importorskip("nbformat")
    work = tmp_path / "handed_in" / "alice"
    work.mkdir(parents=True)
    folder.write(SE, work)
    classroom.write_notebook(work, SE.stem, classroom.RIGHT)
    (own,) = submissions(tmp_path / "handed_in", tmp_path / "workshop")
    found = mark(SE, own, Points(), timeout=60)
    assert found.points == 4
    assert "also in" in found.note


def test_the_stub_of_another_exercise_is_no_gap(tmp_path: Path) -> None:
    own = marked(tmp_path, find("square").stub + "\n\n" + classroom.RIGHT)
    assert own.points == 4


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}', '{"nbformat": 4}'])
def test_what_is_no_notebook_is_a_note(text: str, tmp_path: Path) -> None:
    pytest.importorskip("nbformat")
    (tmp_path / "handed_in").mkdir()
    (tmp_path / "handed_in" / "alice.ipynb").write_text(text)
    (own,) = submissions(tmp_path / "handed_in", tmp_path / "workshop")
    assert own.files == []
    assert "no notebook" in own.notes[0]


def test_a_place_without_hand_ins_is_an_error(tmp_path: Path) -> None:
    for name in ("empty", "missing"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=name):
            submissions(tmp_path / name, tmp_path / "workshop")


# What it is worth.


def test_a_right_answer_has_all_points(tmp_path: Path) -> None:
    own = marked(tmp_path, classroom.RIGHT)
    assert (own.points, own.max_points, own.causes, own.note) == (4, 4, (), "")


def test_a_wrong_gate_costs_y_alone(tmp_path: Path) -> None:
    text = classroom.RIGHT.replace("1 / (1 + np.exp(-(a @ w2.T)))", "np.tanh(a @ w2.T)")
    own = marked(tmp_path, text.replace("s * (1 - s)", "(1 - s**2)"))
    assert own.states == {"y": screen.WRONG} | dict.fromkeys(SE.gradients, screen.FITS)
    assert (own.points, own.causes) == (3, ("se.gate:sigmoid.forward.tanh",))


@pytest.mark.parametrize("name", ["identity", "zero", "product"] if SEARCH else ["identity"])
def test_gradients_of_an_easier_y_are_no_work(name: str, tmp_path: Path) -> None:
    own = marked(tmp_path, classroom.FORGED[name])
    assert own.points == 0
    assert own.states["y"] == screen.WRONG


BREAKS = {
    "backward changes dy": ("ds =", "dy *= 2; dy = dy / 2; ds ="),
    "the forward pass changes x": (
        "    def backward",
        "    x = x.copy(); old_x[...] = 1\n    def backward",
    ),
    "backward, called again, raises IndexError": ("dw2 = du.T @ a", "dw2 = du.T @ used.pop()"),
    "backward writes into the gradients": ("dw2 = du.T @ a", "dw2 = kept; dw2[...] = du.T @ a"),
}


@pytest.mark.parametrize("says", BREAKS)
def test_what_breaks_a_promise_loses_points_once(says: str, tmp_path: Path) -> None:
    text = classroom.RIGHT.replace(*BREAKS[says])
    text = text.replace("    z =", "    old_x, kept = x, np.zeros_like(w2)\n    z =")
    text = text.replace("    def backward", "    used = [a]\n    def backward")
    own = marked(tmp_path, text, Points(deduction=0.5))
    assert set(own.states.values()) == {screen.RIGHT}
    assert own.points == 3.5
    assert own.note.startswith(f"0.5 off: {says}")


def test_what_is_not_written_leaves_the_rest(tmp_path: Path) -> None:
    own = marked(tmp_path, classroom.RIGHT.replace("dw1 = dh.T @ z", "dw1 = ..."))
    assert own.states["dw1"] == screen.GAP
    assert own.points == 3


FAST = [name for name in classroom.FORGED if not name.startswith("endless")]
WHY = {
    "package": "numpy_se is not allowed",
    "ladder": "numpy_se is not allowed",
    "torch": "torch is not allowed",
    "teacher": "No module named 'solution'",
    "neighbour": "No module named 'plain'",
    "up": "No module named 'plain'",
    "starts": "starts no processes",
    "kills": "sends no signals",
    "asks": "asks for input",
    "exits": "calls exit",
    "memory": "MemoryError",
}


@pytest.mark.parametrize("name", FAST if SEARCH else [*WHY][::4])
def test_no_forgery_has_points(name: str, tmp_path: Path) -> None:
    place = tmp_path / "handed_in"
    classroom.write_folder(place, "mallory", classroom.FORGED[name])
    for path in (tmp_path / "solution.py", place / "plain.py"):
        path.write_text(classroom.RIGHT)
    own = submissions(place, tmp_path / "workshop")[0]
    found = mark(SE, own, Points(), timeout=60)
    assert found.points == 0
    assert WHY.get(name, "") in found.note


NAIVE = """
import numpy as np
def softmax(x):
    e = np.exp(x)
    y = e / e.sum(axis=1, keepdims=True)
    return y, lambda dy: y * (dy - np.sum(y * dy, axis=1, keepdims=True))
"""
FREE = """
import numpy as np
def se_block(x, w1, w2):
    y = x + w1.sum() + w2.sum() + 0 * np.exp(x)
    return y, lambda dy: (dy.copy(), np.full(w1.shape, dy.sum()), np.full(w2.shape, dy.sum()))
"""


def test_an_overflow_costs_y_alone_and_is_no_licence(tmp_path: Path) -> None:
    (tmp_path / "softmax.py").write_text(NAIVE)
    own = Submission("alice", tmp_path, [tmp_path / "softmax.py"])
    found = mark(find("softmax"), own, Points(), timeout=60)
    assert (found.worth, found.causes) == ({"y": 0, "dx": 1}, ("any.nan-y",))
    assert marked(tmp_path, FREE).points == 0


HIDDEN = {
    "behind shared memory": ("dw2 = du.T @ a", "kept[...] = du.T @ a; dw2 = kept"),
    "behind another y": ("x.mean(axis=(2, 3))", "x.sum(axis=(2, 3))"),
    "behind a wrong dx": ("dz / x[0, 0].size", "0 * dz"),
}


@pytest.mark.skipif(not SEARCH, reason="it takes long: --hypothesis-profile=search")
@pytest.mark.parametrize("where", HIDDEN)
def test_a_gradient_that_is_wrong_near_zero_has_no_points(where: str, tmp_path: Path) -> None:
    text = classroom.RIGHT.replace("(h > 0)", "(h >= -0.01)").replace(*HIDDEN[where])
    text = text.replace("    z =", "    kept = np.zeros_like(w2)\n    z =")
    own = marked(tmp_path, text)
    assert own.states["dw1"] not in (screen.RIGHT, screen.FITS)
    assert own.worth["dw1"] == 0


def test_what_is_given_brings_no_points() -> None:
    assert find("central_difference").parts == ["dx"]
    assert find("block_check").parts == ["y"]
    assert find("own_gate").parts == ["du"]
    assert SE.parts == ["y", "dx", "dw1", "dw2"]


BAD_POINTS = {
    "seed = ": "does not read",
    "seed = 1.5": "whole number",
    "seed = -1": "at least 0",
    "deduction = 'a'": "at least 0",
    "deduction = nan": "at least 0",
    "[nothing]": "no exercise 'nothing'",
    "se_block = 4": r"wants \[se_block\]",
    "[se_block]\ndz = 1": "no part 'dz'",
    "[se_block]\ndx = true": "at least 0",
    "[central_difference]\ny = 1": "no part 'y'",
}


@pytest.mark.parametrize("text", BAD_POINTS)
def test_points_that_do_not_read_are_told(text: str, tmp_path: Path) -> None:
    path = tmp_path / "points.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"points.toml: .*{BAD_POINTS[text]}"):
        read_points(path, [SE, find("central_difference")])


def test_points_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "points.toml"
    path.write_text("seed = 3\n[se_block]\ny = 2\ndx = 0.5\n")
    points = read_points(path, [SE])
    assert (points.seed, points.deduction) == (3, 1)
    assert points.of(SE) == {"y": 2, "dx": 0.5, "dw1": 1, "dw2": 1}


# What comes out.


@given(st.text(min_size=1), st.text())
def test_a_row_stays_a_row(tmp_path_factory: Any, name: str, note: str) -> None:
    path = tmp_path_factory.mktemp("csv") / "marks.csv"
    marks = [made_up(name, note), made_up("bob", exercise="cube")]
    for line in tables.table(find("square"), marks) + tables.totals(marks):
        assert line.isprintable()
    tables.write_csv(path, marks)
    rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    assert len(rows) == 1 + 2 + len({name, "bob"})
    assert {len(row) for row in rows} == {8}
    for cell in (cell for row in rows[1:] for cell in row if cell != "-"):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True))
def test_each_student_has_a_text_of_its_own(tmp_path_factory: Any, names: list[str]) -> None:
    place = tmp_path_factory.mktemp("feedback")
    feedback.write_feedback(place / "out", [made_up(name) for name in names])
    assert len(list((place / "out").iterdir())) == len(names)
    assert len(list(place.iterdir())) == 1


def test_a_class_is_graded_by_one_command(tmp_path: Path, capsys: Any) -> None:
    place = tmp_path / "handed_in"
    classroom.write_folder(place, "alice", classroom.RIGHT)
    classroom.write_zip(place, "bob", classroom.RIGHT.replace("= dz / x[0, 0].size", "= 0 * dz"))
    out, told = tmp_path / "marks.csv", tmp_path / "told"
    words = [str(place), "--only", "18", "3", "--jobs", "2", "--csv", str(out)]
    assert main(["grade", *words, "--feedback", str(told)]) == 0
    text = capsys.readouterr().out
    assert "bob      right  WRONG  right  right  3 of 4  se.squeeze-path" in text
    assert "1  se.squeeze-path\n          How many arrows leave x in the picture?" in text
    rows = list(csv.DictReader(out.read_text(encoding="utf-8-sig").splitlines()))
    points = [(row["id"], row["exercise"], row["points"]) for row in rows]
    assert points[:3] == [("alice", "se_block", "4"), ("alice", "square", "0"),
                          ("bob", "se_block", "3")]  # fmt: skip
    assert points[-2:] == [("alice", "total", "4"), ("bob", "total", "3")]
    assert "How many arrows leave x in the picture?" in (told / "bob.txt").read_text()
    assert "share[:, :, None, None]" not in (told / "bob.txt").read_text()


WRONG_SOLUTIONS = {
    "np.logaddexp(0, x)\n": ("np.logaddexp(0, 2 * x)\n", "the solution is not right: dx"),
    "np.logaddexp(0, x)": ("np.logaddexp(0, z)", "name 'z' is not defined"),
    "MINUTES = 10": ("", "has no MINUTES"),
    "def softplus(x):": ("def softminus(x):", "has no softplus"),
    "import numpy as np": ("import numpy as", "line 8: it does not run"),
    '"dy / (1 + np.exp(-x))",': ('"dy / 1",', "softplus.inverse: .* is there 0 times"),
    '"dy / (1 + np.exp(x))",': ('"dy / (",', "the mistake softplus.inverse: SyntaxError"),
}


@pytest.mark.parametrize("old", WRONG_SOLUTIONS)
def test_the_teachers_error_comes_before_the_students(
    old: str, tmp_path: Path, capsys: Any
) -> None:
    new, message = WRONG_SOLUTIONS[old]
    place = own_exercises(tmp_path, old, new)
    words = ["grade", str(tmp_path), "--exercises", str(place), "--only", "softplus"]
    assert main(words) == 2
    assert re.search(message, capsys.readouterr().err)


def own_exercises(tmp_path: Path, old: str = "", new: str = "") -> Path:
    """The exercise of the page on grading, in a folder."""
    place = tmp_path / "my_exercises"
    place.mkdir()
    text = GRADING.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (place / "26_softplus.py").write_text(text.replace(old, new) if old else text)
    return place


def test_ones_own_exercise_comes_before_that_of_the_ladder(tmp_path: Path) -> None:
    place = own_exercises(tmp_path)
    (place / "26_softplus.py").rename(place / "18_softplus.py")
    own = read_exercises(place)
    assert find("18", own).name == "softplus"


def test_what_judged_needs_goes_with_it(tmp_path: Path) -> None:
    place = own_exercises(tmp_path, "MISTAKES = (", JUDGED)
    (exercise,) = read_exercises(place)
    refuse_wrong_solution(exercise, 0)
    assert not exercise.gives_the_package
    assert find("block_check").gives_the_package


JUDGED = """
SCALE = 2.0


def judged(softplus):
    def scaled(x):
        "Twice numpy_se.softplus."
        y, backward = softplus(x)
        return SCALE * y, lambda dy: SCALE * backward(dy)

    return scaled


MISTAKES = ("""


@pytest.mark.parametrize("text", ["nan", "inf", "0", "-1", "x"])
def test_a_timeout_that_is_none_is_refused(text: str, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["grade", str(tmp_path), "--only", "3", "--timeout", text])
    assert "seconds above 0" in capsys.readouterr().err


def test_other_files_of_a_student_lie_beside(tmp_path: Path) -> None:
    classroom.write_folder(tmp_path, "alice", "from rules import square\n\nsquare = square\n")
    (tmp_path / "alice" / "work" / "rules.py").write_text(find("square").solution)
    (own,) = submissions(tmp_path, tmp_path.parent / f"{tmp_path.name}_workshop")
    own.files[:] = [path for path in own.files if path.name == SE.file]
    assert mark(find("square"), own, Points(), timeout=60).points == 2


def test_each_student_has_the_own_variant(tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("alice", "bob"):
        classroom.write_folder(tmp_path / "handed_in", name, "x = 1")
    asked: list[str] = []

    def see(exercise: Any, own: Submission, *more: Any) -> Mark:
        asked.append(exercise.source)
        return made_up(own.id)

    monkeypatch.setattr("numpy_se.exercises.grading.grade.mark", see)
    monkeypatch.setattr("numpy_se.exercises.grading.grade.refuse_wrong_solution", lambda *_: None)
    grade(tmp_path / "handed_in", [SE], variant=True)
    assert asked == [SE.variant("alice").source, SE.variant("bob").source]


def test_one_check_that_fails_is_not_the_end(tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("alice", "bob"):
        classroom.write_folder(tmp_path / "handed_in", name, find("square").solution)

    def fail(exercise: Any, own: Submission, *more: Any) -> Mark:
        if own.id == "alice":
            raise OSError("disk full")
        return mark(exercise, own, *more)

    monkeypatch.setattr("numpy_se.exercises.grading.grade.mark", fail)
    alice, bob = grade(tmp_path / "handed_in", [find("square")])
    assert "the check failed: OSError: disk full" in alice.note
    assert (alice.points, bob.id) == (0, "bob")


def test_an_exercise_of_ones_own_is_like_the_others(tmp_path: Path, capsys: Any) -> None:
    place = own_exercises(tmp_path)
    (exercise,) = read_exercises(place)
    for mistake in exercise.mistakes:
        report = recognise.report_of(exercise, mistake)
        assert mistake in recognise.recognised(exercise, report["causes"])
    assert main(["start", str(tmp_path / "hand_out"), "--exercises", str(place)]) == 0
    assert [path.name for path in (tmp_path / "hand_out").iterdir()] == [exercise.file]
    assert "logaddexp" not in (tmp_path / "hand_out" / exercise.file).read_text()


def test_gradescope_reads_a_result_for_each_part(tmp_path: Path) -> None:
    points = tmp_path / "points.toml"
    points.write_text("[se_block]\ndx = 3\n")
    place, results = tmp_path / "autograder", tmp_path / "results.json"
    gradescope.write(place, ["18"], points, None, 60)
    classroom.write_folder(
        tmp_path, "submission", classroom.RIGHT.replace(*BREAKS["backward changes dy"])
    )
    words = [str(place / "settings.json"), str(tmp_path / "submission"), str(results)]
    gradescope.main(words)
    found = json.loads(results.read_text())
    assert [test["name"] for test in found["tests"]] == [f"18 se_block: {p}" for p in SE.parts]
    assert [test["max_score"] for test in found["tests"]] == [1, 3, 1, 1]
    assert [test["score"] for test in found["tests"]] == [1, 3, 1, 0]
    assert found["score"] == 5


@pytest.mark.parametrize(
    "words",
    [
        ["--only", "nonsense"],
        ["--only", "18", "--points", "missing.toml"],
        ["--only", "18", "--exercises", "missing"],
        ["--only", "18", "--variant"],
    ],
)
def test_gradescope_refuses_before_it_writes(words: list[str], tmp_path: Path, capsys: Any) -> None:
    assert main(["grade", *words, "--gradescope", str(tmp_path / "out")]) == 2
    assert "error: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_copied_package_runs_alone(tmp_path: Path) -> None:
    place = tmp_path / "autograder"
    gradescope.write(place, ["3"], None, None, 60)
    classroom.write_folder(tmp_path, "submission", "x = 1")
    words = ["settings.json", str(tmp_path / "submission"), str(tmp_path / "results.json")]
    module = "numpy_se.exercises.grading.gradescope"
    subprocess.run([sys.executable, "-m", module, *words], cwd=place, check=True)
    assert "no square in 1 file" in json.loads((tmp_path / "results.json").read_text())["output"]


def test_gradescope_hears_of_a_check_that_ends(tmp_path: Path, monkeypatch: Any) -> None:
    place, results = tmp_path / "autograder", tmp_path / "results.json"
    gradescope.write(place, ["18"], None, None, 60)
    seen: list[Any] = []

    def fail(*args: Any) -> None:
        seen.append(json.loads(results.read_text()))
        raise MemoryError

    monkeypatch.setattr(gradescope, "mark", fail)
    classroom.write_folder(tmp_path, "submission", "x = 1")
    with pytest.raises(MemoryError):
        gradescope.main([str(place / "settings.json"), str(tmp_path / "submission"), str(results)])
    assert seen[0]["output"] == "The check did not finish."
    assert (seen[0]["score"], len(seen[0]["tests"])) == (0, 4)
    assert "MemoryError" in json.loads(results.read_text())["output"]


# Variants.


def test_a_name_has_its_variant_and_all_are_given() -> None:
    sources = {SE.variant(f"student {k}").source for k in range(300)}
    assert len(sources) == 24
    assert SE.variant("alice").source == SE.variant("alice").source


def names_of_variants() -> list[str]:
    """A student for each variant."""
    found = {SE.variant(f"student {k}").source: f"student {k}" for k in range(300)}
    return sorted(found.values())


@pytest.mark.parametrize("name", names_of_variants() if SEARCH else names_of_variants()[5:6])
def test_mistakes_follow_the_variant(name: str, tmp_path: Path) -> None:
    variant = SE.variant(name)
    assert judging.judge(variant, variant.op)["verdict"] == "ok"
    for mistake in variant.mistakes if SEARCH else variant.mistakes[5:6]:
        report = recognise.report_of(variant, mistake)
        assert mistake in recognise.recognised(variant, report["causes"]), mistake.id
    folder.write(SE, tmp_path, name)
    path = tmp_path / SE.file
    assert folder.variant_in(path) == name
    for line in path.read_text().split("\n"):
        assert len(line) <= screen.COLUMNS


def test_a_variant_is_checked_and_graded_as_such(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    other = next(n for n in "abcdefgh" if SE.variant(n).op.__code__.co_argcount == 4)
    variant = SE.variant(other)
    assert main(["start", str(tmp_path), "--exercise", "18", "--variant", other]) == 0
    text = (tmp_path / SE.file).read_text().partition("def se_block")[0] + variant.solution
    (tmp_path / SE.file).write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["check", "18"]) == 0
    capsys.readouterr()
    assert main(["show", "18"]) == 0
    assert variant.solution.split("\n")[0] in capsys.readouterr().out
    assert main(["hint", "18"]) == 0
    own = Submission(other, tmp_path, [tmp_path / SE.file])
    assert mark(variant, own, Points(), 60).points == 5
    assert mark(SE, own, Points(), 60).points == 0
    neighbour = next(n for n in "abcdefgh" if SE.variant(n) != variant)
    copied = Submission(neighbour, own.folder, own.files)
    found = mark(SE.variant(neighbour), copied, Points(), 60)
    assert f"has the variant of {other}" in found.note
    assert find("square").variant(other) is find("square")


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_an_id_that_breaks_the_file_is_refused(name: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["start", str(tmp_path / "new"), "--variant", name]) == 2
    assert "--variant" in capsys.readouterr().err


def test_a_table_has_the_parts_of_all_variants(tmp_path: Path) -> None:
    """One student's variant has a bias, and another's has none."""
    names = ["alice", "bob", "carol", "dan"]
    marks = [failed(SE.variant(n), Submission(n, tmp_path), Points(), "late") for n in names]
    parts = {len(mark.states) for mark in marks}
    assert len(parts) > 1
    for own in (marks, marks[::-1]):
        head, *rows = tables.table(SE, own)[1:5]
        assert head.split()[1 : max(parts) + 1] == [
            part for part in ("y", "dx", "dw1", "dw2", "db1", "db2") if part in head
        ]
        assert all("not handed in" not in row for row in rows)
