"""Type checkers understand the package: a user's file is right to mypy and to pyright, and runs."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

USER = Path(__file__).with_name("typing_user.py")


def test_the_file_runs() -> None:
    runpy.run_path(str(USER), run_name="__main__")


@pytest.mark.parametrize("command", [["mypy", "--strict"], ["pyright"]], ids=lambda c: c[0])
def test_type_checkers_agree(command: list[str]) -> None:
    pytest.importorskip(command[0])
    run = subprocess.run(
        [sys.executable, "-m", *command, str(USER)],
        capture_output=True,
        text=True,
        cwd=USER.parents[1],
    )
    assert run.returncode == 0, run.stdout + run.stderr
