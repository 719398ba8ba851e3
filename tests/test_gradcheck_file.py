"""The check of a file at the shell, also of files that cannot be checked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from numpy_se.checker.__main__ import main
from numpy_se.checker.file import check_file

SOURCE = """
import json, os, sys
import numpy as np
print("hello")

def block(x, w1, w2, lacks=True):
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))
    def backward(dy):
        ds = (dy * x).sum(axis=(2, 3))
        du = ds * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dx = dy * s[:, :, None, None]
        if not lacks:
            dx = dx + (dh @ w1)[:, :, None, None] / x[0, 0].size
        return dx, dh.T @ z, du.T @ a
    return x * s[:, :, None, None], backward

def right(x, w1, w2):
    return block(x, w1, w2, lacks=False)

def noisy(x):
    os.system("echo garbage")
    print("garbage")
    return 2 * x, lambda dy: 2 * dy

def affine(x, w):
    return x @ w, (x, w)

def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout

class Affine:
    def forward(self, x):
        self.x = x
        return x @ self.w
    def backward(self, dy):
        self.dw = self.x.T @ dy
        return dy @ self.w.T

def loops(x):
    while True:
        pass

def crashes(x):
    return 1 / 0

def asks(x):
    return input()

def string(x):
    return "hello"

def nothing(x):
    pass

def strings(x):
    return 2 * x, lambda dy: "dx"

def parses(x):
    json.loads("{")

def exits(x):
    sys.exit(0)

def slightly_other(x, w1, w2):
    y, backward = right(x, w1, w2)
    return 1.001 * y, lambda dy: backward(1.001 * dy)

def flat(x, w1, w2):
    y, backward = right(x, w1, w2)
    return y[0], lambda dy: backward(dy)

def two_samples(x, w1, w2):
    first, second = x
    return right(x, w1, w2)

def leaves(x):
    os._exit(0)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: Any) -> Path:
    path: Path = tmp_path_factory.mktemp("ops") / "my_ops.py"
    path.write_text(SOURCE)
    return path


SHAPES = {"x": ("N", "C", "H", "W"), "w1": ("R", "C"), "w2": ("C", "R")}


def test_the_first_line_names_the_forgotten_path(file: Path) -> None:
    command = [sys.executable, "-m", "numpy_se.checker", f"{file}:block", "--shapes"]
    done = subprocess.run(
        [*command, "x=2,3,4,5", "w1=2,3", "w2=3,2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "dx is wrong" in done.stdout.splitlines()[0]
    assert "the squeeze path is missing: x feeds both" in done.stdout.splitlines()[0]
    assert "hello" not in done.stdout
    assert not done.stderr


def test_status_and_json(file: Path, capsys: Any) -> None:
    shapes = ["--shapes", "x=N,C,H,W", "w1=R,C", "w2=C,R"]
    assert main([f"{file}:right", *shapes]) == 0
    assert capsys.readouterr().out.startswith("ok: ")
    assert main([f"{file}:block", *shapes, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "wrong"
    assert report["causes"][0]["gradients"] == ["dx"]
    assert main([f"{file}:crashes", "--shapes", "x=2,3", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["verdict"] == "unusable"
    with pytest.raises(SystemExit):
        main([f"{file}:right", "--shapes", "2,3"])
    assert "does not read as NAME=A,B,..." in capsys.readouterr().err


def test_other_styles_in_a_file(file: Path) -> None:
    shapes = {"x": ("N", "I"), "w": ("I", "O")}
    assert check_file(f"{file}:affine,affine_backward", shapes)["verdict"] == "ok"
    assert check_file(f"{file}:Affine", shapes)["verdict"] == "ok"


UNUSABLE = {
    "loops": ("timeout", "longer than 2 s"),
    "crashes": ("function", "ZeroDivisionError: division by zero (line "),
    "parses": ("function", "of my_ops.py)"),
    "asks": ("function", "it asks for input"),
    "string": ("function", "op gives a str; it must give y, backward"),
    "nothing": ("function", "op gives None (is a return missing?); it must give y, backward"),
    "exits": ("function", "it calls exit()"),
    "leaves": ("exit", "ends the Python process, with exit status 0"),
    "affine,affine_backward,right": ("file", "too many names; write FUNCTION, or FORWARD,BACK"),
    "absent": ("file", "has no function 'absent'; it has block, right, noisy"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_file_that_cannot_be_checked_is_told(file: Path, name: str) -> None:
    kind, reason = UNUSABLE[name]
    report = check_file(f"{file}:{name}", {"x": (2, 3)}, timeout=2 if name == "loops" else 60)
    assert report["verdict"] == "unusable"
    assert report["kind"] == kind
    assert reason in report["headline"]


REFERENCE = {
    "right": ("ok", "checked", "ok: all gradients agree"),
    "block": ("wrong", "checked", "dx is wrong"),
    "slightly_other": ("wrong", "forward", "y is wrong: y[0, 0, 0, 0] is "),
    "flat": ("wrong", "forward", "y is wrong: it has shape (3, 5, 4); it wants (2, 3, 5, 4)."),
    "two_samples": ("wrong", "forward", "the forward pass raises ValueError: "),
    "absent": ("unusable", "file", "has no function 'absent'"),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_the_forward_pass_is_compared_with_a_reference(file: Path, name: str) -> None:
    report = check_file(f"{file}:{name}", SHAPES, reference=f"{file}:right")
    assert (report["verdict"], report["kind"]) == REFERENCE[name][:2]
    assert REFERENCE[name][2] in report["headline"]


def test_a_script_needs_no_guard_and_threads_do_not_delay(tmp_path: Path) -> None:
    slow = "import threading, time\nthreading.Thread(target=time.sleep, args=(300,)).start()\n"
    (tmp_path / "op.py").write_text(slow + "def double(x): return 2 * x, lambda dy: 2 * dy\n")
    (tmp_path / "script.py").write_text(
        "from numpy_se.checker.file import check_file\n"
        "print(check_file('op.py:double', {'x': 'N C'}, timeout=120)['verdict'])\n"
    )
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("ok\n", "")


def test_what_is_no_gradient_is_told(file: Path) -> None:
    report = check_file(f"{file}:strings", {"x": (2, 3)})
    assert report["headline"] == "dx is a str; it wants a NumPy array."


def test_what_a_file_prints_stays_out_of_the_report(file: Path, capfd: Any) -> None:
    assert main([f"{file}:noisy", "--shapes", "x=2,3", "--json"]) == 0
    out = capfd.readouterr().out
    assert json.loads(out)["verdict"] == "ok"
    assert "note: what the file prints is not shown" in json.loads(out)["text"]


def test_files_that_do_not_load(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def f(:")
    for target in (f"{tmp_path / 'bad.py'}:f", f"{tmp_path / 'none.py'}:f", "f"):
        report = check_file(target, {"x": (2, 3)})
        assert (report["verdict"], report["kind"]) == ("unusable", "file")


def test_ctrl_c_ends_the_command_in_one_line(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def interrupted(*args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[main.__module__], "check_file", interrupted)
    assert main([f"{file}:right", "--shapes", "x=N,C"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
