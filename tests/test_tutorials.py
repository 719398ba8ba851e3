"""Every chapter runs as a plain script, in quick mode, and leaves a figure or a table."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from digits_on_disk import contents, register, write
from hypothesis import settings

pytestmark = pytest.mark.slow

pytest.importorskip("matplotlib")
TUTORIALS = Path(__file__).parent.parent / "tutorials"
CHAPTERS = sorted(TUTORIALS.glob("[0-9]*.py"))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs(
    chapter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import matplotlib
    from matplotlib import pyplot as plt

    digits = contents(100, 100)  # no search for MNIST
    register(monkeypatch, digits)
    write(tmp_path / "digits", digits)
    monkeypatch.setenv("NUMPY_SE_DATA", str(tmp_path / "digits"))
    monkeypatch.setenv("NUMPY_SE_QUICK", "1")
    monkeypatch.setattr(sys, "argv", [str(chapter)])
    monkeypatch.syspath_prepend(str(TUTORIALS))
    sys.modules.pop("course", None)  # it reads the variable when it is imported
    profile = settings.get_current_profile_name()
    with matplotlib.rc_context({"backend": "agg"}):
        import course

        monkeypatch.setattr(course, "FIGURES", tmp_path / "figures")
        monkeypatch.setattr(course, "RUNS", tmp_path / "runs")
        runpy.run_path(str(chapter), run_name="__main__")
        plt.close("all")
    settings.load_profile(profile)  # a chapter may take another one
    figures = [path.stem for path in (tmp_path / "figures").glob("*.png")]
    assert chapter.stem in figures, "the figure of a chapter has its name"
    out = capsys.readouterr().out
    assert out
    text = chapter.read_text(encoding="utf-8")
    if "from evidence" in text and "kept(" not in text:
        words = "supported|undecided|better$|worse$"
        assert not re.search(words, out), "only the kept results of whole runs decide"
