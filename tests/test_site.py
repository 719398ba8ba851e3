"""The site and the table of contents of the course. To build the site takes too long for a test."""

import ast
import itertools
import json
import re
import runpy
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parent.parent / "tutorials"
SITE = TUTORIALS / "site"
CHAPTERS = sorted(TUTORIALS.glob("[0-9]*.py"))
README = (TUTORIALS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_is_in_the_table_with_a_picture(chapter: Path) -> None:
    title = chapter.read_text(encoding="utf-8").splitlines()[1]
    row = next(line for line in README.splitlines() if f"[{title}]({chapter.name})" in line)
    (picture,) = re.findall(r"!\[\]\((.*?)\)", row)
    content = (TUTORIALS / picture).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 40_000


def test_the_chapters_stand_in_order() -> None:
    numbers = [int(number) for number in re.findall(r"\((\d\d)_\w+\.py\)", README)]
    assert numbers == list(range(1, len(CHAPTERS) + 1))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_begins_with_goals_and_ends_with_answers(chapter: Path) -> None:
    text = chapter.read_text(encoding="utf-8")
    need, goals = (ast.get_docstring(ast.parse(text)) or "").split("After this chapter you can")
    assert "\n\nYou need: " in need
    assert 2 <= len(re.findall(r"^- [a-z]", goals, flags=re.MULTILINE)) <= 4
    _, *parts = re.split(r"^# (?:Questions|Answers)\n# -+\n", text, flags=re.MULTILINE)
    asked, answered = (re.findall(r"^# (\d+)\. ", part, flags=re.MULTILINE) for part in parts)
    assert asked == answered == [str(number) for number in range(1, len(asked) + 1)]


def test_the_gallery_takes_chapters_and_nothing_else() -> None:
    conf = (SITE / "conf.py").read_text(encoding="utf-8")
    found = re.search(r'"ignore_pattern": r"(.*)",', conf)
    assert found
    taken = [path for path in TUTORIALS.glob("*.py") if not re.search(found[1], path.name)]
    assert sorted(taken) == CHAPTERS


@pytest.mark.parametrize("file", ["conf.py", "hooks.py", "build.py"])
def test_the_code_of_the_site_compiles(file: str) -> None:
    compile((SITE / file).read_text(encoding="utf-8"), file, "exec")


def test_build_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["build.py"])
    with pytest.raises(SystemExit) as exit_status:
        runpy.run_path(str(SITE / "build.py"), run_name="__main__")
    assert exit_status.value.code == 2
    assert "pip install -e '.[docs]'" in capsys.readouterr().out


def test_docstrings_in_plain_text_become_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx_gallery")
    monkeypatch.syspath_prepend(str(TUTORIALS))
    plain_text = runpy.run_path(str(SITE / "hooks.py"))["plain_text"]
    lines = ["Scale *x* and ``s``.", "", "    y = s * x", "", "with dw_ of x*y", "Raises E."]
    plain_text(None, "", "", None, None, lines)
    want = r"Scale \*x\* and ``s``.||::||        y = s * x||with dw\_ of x\*y||Raises E."
    assert "|".join(lines) == want


def test_chapters_become_notebooks_that_have_all_they_need(tmp_path: Path) -> None:
    pytest.importorskip("sphinx_gallery")
    write = runpy.run_path(str(TUTORIALS / "notebooks.py"))["write"]
    notebooks = write(tmp_path / "notebooks")
    assert [path.stem for path in notebooks] == [path.stem for path in CHAPTERS]
    beside = {path.name for path in (tmp_path / "notebooks").iterdir()}
    for path in notebooks:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        names = re.findall(r"^from (\w+) import|^import (\w+)", code, flags=re.MULTILINE)
        own = {
            f"{name}.py" for pair in names for name in pair if (TUTORIALS / f"{name}.py").exists()
        }
        assert own <= beside
        if "kept(" in code:
            assert (tmp_path / "notebooks" / "results" / f"{path.stem}.json").exists()


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_titles_are_underlined(chapter: Path) -> None:
    lines = chapter.read_text(encoding="utf-8").splitlines()
    for title, line in itertools.pairwise(lines):
        if re.fullmatch(r"(# )?([=-])\2{3,}", line):
            assert len(title) <= len(line), title
