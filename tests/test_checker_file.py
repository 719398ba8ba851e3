"""The check of a file at the shell, also of files that cannot be checked."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from strategies import some

from numpy_se.checker.__main__ import main
from numpy_se.checker.judge import check_file
from numpy_se.checker.report import GradientReport

pytestmark = pytest.mark.slow

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
    os.write(1, b"garbage\\n")
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

def dies(x):
    os.kill(os.getpid(), 9)

def tells(x):
    raise ValueError("EOFError, not SystemExit:\\n" + "\\x1b[31m" + 999 * "!")

def reads(x):
    import pickle
    return pickle.loads(b"")

class Mute(Exception):
    def __str__(self):
        return 1 / 0

def mute(x):
    raise Mute

def interrupts(x):
    raise KeyboardInterrupt

def caches(x):
    return x, (x, 1)
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
    assert "hello" not in done.stdout.split("note: the file printed (last lines):")[0]
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
    assert (
        main([f"{file}:affine,affine_backward", "--shapes", "N I, I O", "--beside", str(file)]) == 0
    )


REFUSED = {
    "shapes: 'N C' has no names": ["--shapes", "N", "C"],
    'did you mean "N C H W"?': ["--shapes", "NCHW"],
    "timeout is -1.0; it wants seconds above 0": ["--shapes", "N C", "--timeout", "-1"],
    "seed is -1; it wants at least 0": ["--shapes", "N C", "--seed", "-1"],
    "allow has 'numpy'; it wants some of": ["--shapes", "N C", "--allow", "numpy"],
    "the reference cannot be used: ": ["--shapes", "N C", "--reference", "none.py:f"],
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_command_that_does_not_read_is_refused(file: Path, message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"{file}:right", *REFUSED[message]])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_shapes_of_python(file: Path) -> None:
    words = [f"{name}={','.join(axes)}" for name, axes in SHAPES.items()]
    for shapes in some(("N C H W, R C, C R", words, " ".join(words), {"w1": "R C", **SHAPES}), 2):
        assert check_file(f"{file}:right", shapes)["verdict"] == "ok"
    with pytest.raises(TypeError, match="shapes is an int"):
        check_file(f"{file}:right", 3)  # type: ignore[arg-type]


UNUSABLE = {
    "loops": ("timeout", "longer than 2 s, in the forward pass, or while gradients were checked: "),
    "crashes": ("function", "ZeroDivisionError: division by zero (line "),
    "parses": ("function", "of my_ops.py)"),
    "asks": ("function", "it asks for input, and there is none: EOFError"),
    "tells": ("function", "unusable: ValueError: EOFError, not SystemExit: \\x1b[31m!!!!"),
    "reads": ("function", "unusable: EOFError: Ran out of input"),
    "mute": ("function", "unusable: Mute: (its text cannot be made) (line "),
    "interrupts": ("function", "unusable: KeyboardInterrupt (line "),
    "string": ("function", " gives a str; it must give y, backward"),
    "nothing": ("function", " gives None (is a return missing?); it must give y, backward"),
    "exits": ("function", "it calls exit()"),
    "leaves": ("exit", "ends the Python process, with exit status 0, in the forward pass"),
    "dies": ("exit", "ends the Python process, with SIGKILL, in the forward pass"),
    "affine,affine_backward,right": ("file", "too many names; write FUNCTION, or FORWARD,BACK"),
    "absent": ("file", "has no function 'absent'; it has block, right, noisy"),
    "1f": ("file", "does not read; write FILE.py:FUNCTION"),
    "Affine(": ("file", "does not read; write FILE.py:FUNCTION"),
    "Affine(x)": ("file", "Affine(x) does not read; write CLASS(4, 2), with numbers"),
    "right(4)": ("file", "right is no class; write it without (...)"),
    "Affine(4)": (
        "function",
        "from_class: Affine(4) raises TypeError: Affine() takes no arguments",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_file_that_cannot_be_checked_is_told(file: Path, name: str) -> None:
    kind, reason = UNUSABLE[name]
    report = check_file(f"{file}:{name}", {"x": (2, 3)}, timeout=2 if name == "loops" else 60)
    assert report["verdict"] == "unusable"
    assert report["kind"] == kind
    assert reason in report["headline"]
    assert len(report["headline"]) < 400
    assert report["headline"].isprintable()


REFERENCE = {
    "right": ("ok", "checked", "ok: all gradients agree"),
    "block": ("wrong", "checked", "dx is wrong"),
    "slightly_other": ("wrong", "forward", "y is wrong: y[0, 0, 0, 0] is "),
    "flat": ("wrong", "forward", "y is wrong: it has shape ("),
    "two_samples": ("wrong", "forward", "the forward pass raises ValueError: "),
    "absent": ("unusable", "file", "has no function 'absent'"),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_the_forward_pass_is_compared_with_a_reference(file: Path, name: str) -> None:
    report = check_file(f"{file}:{name}", SHAPES, reference=f"{file}:right")
    assert (report["verdict"], report["kind"]) == REFERENCE[name][:2]
    assert REFERENCE[name][2] in report["headline"]
    if report["kind"] == "forward":
        assert report["findings"][0]["subject"] == "y"
        assert report["gradients"]["y"]["state"] == "wrong"
        assert ("The gradients are those of this y." in report["headline"]) == (name != "flat")


def test_a_script_needs_no_guard_and_threads_do_not_delay(tmp_path: Path) -> None:
    slow = "import threading, time\nthreading.Thread(target=time.sleep, args=(300,)).start()\n"
    (tmp_path / "op.py").write_text(slow + "def double(x): return 2 * x, lambda dy: 2 * dy\n")
    (tmp_path / "script.py").write_text(
        "from numpy_se.checker.judge import check_file\n"
        "print(check_file('op.py:double', {'x': 'N C'}, timeout=120)['verdict'])\n"
    )
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("ok\n", "")


def test_what_is_no_gradient_is_told(file: Path) -> None:
    report = check_file(f"{file}:strings", {"x": (2, 3)})
    assert report["headline"] == "dx is a str; it wants a NumPy array."


def test_what_a_file_prints_stands_behind_the_report(file: Path, capfd: Any) -> None:
    assert main([f"{file}:noisy", "--shapes", "x=2,3", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["verdict"] == "ok"
    assert report["printed"].split("\n") == 10 * ["garbage"]
    assert report["text"].endswith(
        "\n  note: the file printed (last lines):" + 10 * "\n    garbage"
    )
    assert "garbage" not in report["headline"]


def write(folder: Path, text: str, name: str = "op.py") -> str:
    """A file with a right function ``double``, and more."""
    double = "\ndef double(x): return 2 * x, lambda dy: 2 * dy\n"
    (folder / name).write_text(text + double)
    return f"{folder / name}:double"


def test_prints_are_cut_and_escaped(tmp_path: Path) -> None:
    long = write(tmp_path, "print('a' * 10**7 + '\\x1b[2J\\u202e\\u00e9')")
    printed = check_file(long, "N")["printed"]
    assert len(printed) == 1000
    assert printed.endswith("aa\\x1b[2J\\u202e\u00e9")
    quiet = check_file(write(tmp_path, ""), "N")
    assert quiet["printed"] == ""
    assert "note: the file printed" not in quiet["text"]


def test_files_that_do_not_load(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def f(:")
    for target in (f"{tmp_path / 'bad.py'}:f", f"{tmp_path / 'none.py'}:f", "f"):
        report = check_file(target, {"x": (2, 3)})
        assert (report["verdict"], report["kind"]) == ("unusable", "file")


def test_ctrl_c_ends_the_command_in_one_line(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def interrupted(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[main.__module__], "check_file", interrupted)
    assert main([f"{file}:right", "--shapes", "x=N,C"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


CLASSES = """
import numpy as np

class Dense:
    def __init__(self, n_in, n_out, bias=True):
        self.params = {"W": np.random.randn(n_in, n_out), "b": np.random.randn(n_out)}
        self.bias, self.grads = bias, {}
    def forward(self, inputs, train=True):
        self.x = inputs
        return inputs @ self.params["W"] + self.params["b"] * self.bias
    def backward(self, dy):
        self.grads["W"] = self.x.T @ dy
        self.grads["b"] = dy.sum(axis=0) * self.bias
        return dy @ self.params["W"].T

class Gate:
    def forward(self, x, s):
        self.x, self.s = x, s
        return x * s * self.gain
    def backward(self, dy):
        self.dgain = (dy * self.x * self.s).sum(axis=0)
        return dy * self.s * self.gain, (dy * self.x * self.gain).sum(axis=0)

dense = Dense(4, 2)
def split(x, w):
    return x @ w, (x, w)
def split_backward(dout, cache):
    return {"dx": dout @ cache[1].T, "dw": cache[0].T @ dout}
"""
STYLES = {
    "Dense(4, 2)": {"inputs": "N I", "W": "I O", "b": "O"},
    "Dense(n_out=2, n_in=4)": "x=N,I W=I,O b=O",
    "Dense(4, 2, False)": {"b": "O", "inputs": "N I", "W": "I O"},
    "dense": "N I, I O, O",
    "Gate": "s=C x=N,C gain=C",
    "split, split_backward": "N I, I O",
}


@pytest.mark.parametrize("names", some(STYLES, 2))
def test_other_styles_in_a_file(tmp_path: Path, names: str) -> None:
    (tmp_path / "layers.py").write_text(CLASSES)
    report = check_file(f"{tmp_path / 'layers.py'}:{names}", STYLES[names])
    assert report["verdict"] == "ok", report["text"]
    assert ("y does not depend on b here" in report["text"]) == ("False" in names)


def test_a_class_without_what_it_takes_is_told(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text(CLASSES)
    report = check_file(f"{tmp_path / 'layers.py'}:Dense", "N I, I O, O")
    assert report["kind"] == "function"
    assert "for example, from_class(Dense, 4, 2, W=\"grads['W']\", " in report["headline"]


def test_a_file_runs_as_a_module_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise ValueError")  # shadows nothing
    (tmp_path / "helper.py").write_text("two = 2")
    text = (
        "from __future__ import annotations\n"
        "import dataclasses, json, pickle, sys\n"
        "from helper import two\n"
        "@dataclasses.dataclass\n"
        "class Point:\n"
        "    x: int\n"
        "    kind: dataclasses.KW_ONLY = None\n"
        "assert pickle.loads(pickle.dumps(Point(2))) == Point(two)\n"
        "assert __name__ == 'op' and sys.modules['op'].Point is Point\n"
        "assert sys.argv == [__file__]\n"
        "assert sys.path.index(__file__[:-6]) == len(sys.path) - 1\n"
        "if __name__ == '__main__': 1 / 0\n"
    )
    target = write(tmp_path, text)
    found = check_file(target, "N C", beside=[tmp_path / "json.py", tmp_path / "helper.py"])
    assert found["headline"].startswith("ok: ")
    other = write(tmp_path, "import json; json.dumps\nassert __name__ == 'numpy_'", "numpy.py")
    assert check_file(other, "N C", reference=target)["headline"].startswith("ok: ")


def test_the_phase_of_a_timeout_is_told(tmp_path: Path) -> None:
    report = check_file(write(tmp_path, "while True: pass"), "N", timeout=0.5)
    assert "it takes longer than 0.5 s, while the file was loaded: " in report["headline"]
    text = (
        "def late(x):\n"
        "    def backward(dy):\n"
        "        while x.size == 1: pass\n"  # where a small example is looked for
        "        return 3 * dy\n"
        "    return 2 * x, backward\n"
    )
    (tmp_path / "op.py").write_text(text)
    report = check_file(f"{tmp_path / 'op.py'}:late", "N", timeout=2)
    assert report["kind"] == "timeout"
    assert "longer than 2 s, while the cause was looked for: " in report["headline"]


def alive(process: int) -> bool:
    """Tell whether a process runs, for up to 5 seconds."""
    for _ in range(50):
        try:
            os.kill(process, 0)
            state = Path(f"/proc/{process}/stat")
            if state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return False
        except OSError:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes")
@pytest.mark.parametrize("end", ["", "while True: pass", "import os; os._exit(1)"])
def test_processes_that_live_on_are_ended(tmp_path: Path, end: str) -> None:
    text = (
        "import pathlib, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "pathlib.Path(__file__ + '.pid').write_text(str(child.pid))\n"
    )
    reference = write(tmp_path, text + end)
    with contextlib.suppress(ValueError):  # what is said of it is tested elsewhere
        check_file(write(tmp_path, "", "hand_in.py"), "N", timeout=1, reference=reference)
    child = int((tmp_path / "op.py.pid").read_text())
    if lives := alive(child):
        os.kill(child, signal.SIGKILL)
    assert not lives


def test_a_report_is_strict_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = GradientReport.to_dict
    infinite = {"resolution": {"dx": float("inf")}, "causes": [{"x": (float("nan"), 1.5)}]}
    monkeypatch.setattr(GradientReport, "to_dict", lambda self: {**whole(self), **infinite})
    report = check_file(write(tmp_path, ""), "N")
    assert report["resolution"] == {"dx": None}
    assert report["causes"] == [{"x": [None, 1.5]}]
