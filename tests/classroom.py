"""A class of hand-ins of the SE block: right in many styles, wrong, forged, and broken.

    python tests/classroom.py --count 200     makes such a class, and grades it twice
    python tests/classroom.py --bank          grades the wrong backwards of the bank, as answers

The first tells whether the tables are equal and nobody got points for nothing, the second whether a
wrong backward got all points. The exit status is 1 where that is not so.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mutants import whole_bank

from numpy_se.checker.shapes import argument_names, parse_shapes
from numpy_se.exercises import screen
from numpy_se.exercises.exercise import Exercise, find
from numpy_se.exercises.grading.grade import grade
from numpy_se.exercises.grading.mark import worth_of
from numpy_se.exercises.grading.points import Points
from numpy_se.exercises.judging import breaks_promise, judge

HEAD = "import numpy as np\n\n\n"
SE = find("se_block")
RIGHT = HEAD + SE.solution

STYLES = {
    "plain": RIGHT,
    "other_names": re.sub(r"\bw1\b", "first", re.sub(r"\bx\b", "images", RIGHT)),
    "list": RIGHT.replace("return dx, dw1, dw2", "return [dx, dw1, dw2]"),
    "einsum": RIGHT.replace("np.sum(x * dy, axis=(2, 3))", 'np.einsum("nchw,nchw->nc", x, dy)'),
    "cache": HEAD
    + """
def se_block_forward(x, w1, w2):
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))
    return x * s[:, :, None, None], (x, z, h, a, s, w1, w2)


def se_block_backward(dout, cache):
    x, z, h, a, s, w1, w2 = cache
    du = (x * dout).sum(axis=(2, 3)) * s * (1 - s)
    dh = (du @ w2) * (h > 0)
    dz = dh @ w1 / x[0, 0].size
    return s[:, :, None, None] * dout + dz[:, :, None, None], dh.T @ z, du.T @ a
""",
    "class": HEAD
    + """
class SeBlock:
    def forward(self, x, w1, w2):
        self.x, self.w1, self.w2 = x, w1, w2
        self.z = x.mean(axis=(2, 3))
        self.h = self.z @ w1.T
        self.a = np.maximum(self.h, 0)
        self.s = 1 / (1 + np.exp(-(self.a @ w2.T)))
        return x * self.s[:, :, None, None]

    def backward(self, dy):
        du = (self.x * dy).sum(axis=(2, 3)) * self.s * (1 - self.s)
        dh = (du @ self.w2) * (self.h > 0)
        dz = dh @ self.w1 / self.x[0, 0].size
        dx = self.s[:, :, None, None] * dy + dz[:, :, None, None]
        return dx, dh.T @ self.z, du.T @ self.a
""",
    "loops": HEAD
    + """
def one(x, w1, w2):
    z = np.array([m.mean() for m in x])
    h = w1 @ z
    a = np.where(h > 0, h, 0.0)
    s = 1 / (1 + np.exp(-(w2 @ a)))
    return z, h, a, s


def se_block(x, w1, w2):
    parts = [one(sample, w1, w2) for sample in x]
    y = np.stack([sample * s[:, None, None] for sample, (_, _, _, s) in zip(x, parts)])

    def backward(dy):
        dx, dw1, dw2 = np.zeros_like(x), np.zeros_like(w1), np.zeros_like(w2)
        for n, (z, h, a, s) in enumerate(parts):
            du = np.array([np.vdot(p, q) for p, q in zip(x[n], dy[n])]) * s * (1 - s)
            dw2 += np.outer(du, a)
            dh = np.where(h > 0, w2.T @ du, 0.0)
            dw1 += np.outer(dh, z)
            for c, share in enumerate(w1.T @ dh):
                dx[n, c] = s[c] * dy[n, c] + share / x[n, c].size
        return dx, dw1, dw2

    return y, backward
""",
}

# None of these is an answer: no points.
FORGED = {
    "stub": SE.stub,
    "empty": "",
    "other_task": HEAD + find("square").solution,
    "no_python": "Dear teacher, my dog ate it.\n",
    "null_bytes": RIGHT + "\x00",
    "endless": RIGHT + "\nwhile True:\n    pass\n",
    "endless_backward": RIGHT.replace("        ds =", "        while 1: pass\n        ds ="),
    "exits": RIGHT + "\nraise SystemExit(0)\n",
    "ends": RIGHT + "\nimport os\nos._exit(0)\n",
    "raises": HEAD
    + "def se_block(x, w1, w2):\n    raise ValueError('a\\nbob  right  4 of 4\\x1b[2J')\n",
    "deep": "x = " + "(" * 5000 + ")" * 5000 + "\n",
    "memory": RIGHT + "\nbig = bytearray(1 << 40)\n",
    "asks": RIGHT + "\ninput('y or n? ')\n",
    "starts": RIGHT + "\nimport subprocess\nsubprocess.run(['true'])\n",
    "kills": RIGHT + "\nimport os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n",
    "torch": "import torch\n" + RIGHT,
    "package": HEAD + "from numpy_se import squeeze_excite as se_block\n",
    "ladder": HEAD
    + "from numpy_se.exercises.exercise import find\nse_block = find('se_block').op\n",
    "teacher": "from solution import se_block\n",
    "neighbour": "from plain import se_block\n",
    "up": "import sys\nsys.path += ['..', '../..', '../../..']\nfrom plain import se_block\n",
    "ok": HEAD
    + "class Ok:\n    def __getattr__(self, name):\n        return 'ok'\n\n\n"
    "def se_block(x, w1, w2):\n    return Ok(), Ok()\n",
    "prints": HEAD
    + 'print(\'{"verdict": "ok"}\')\n\n\ndef se_block(x, w1, w2):\n    return "ok"\n',
    "pipe": HEAD
    + "import os\nfor n in range(3, 20):\n    try:\n        os.write(n, b'{\"verdict\": \"ok\"}')\n"
    "    except OSError:\n        pass\n",
    "patches": HEAD
    + "import sys, types\nsys.modules['numpy_se.checker'] = types.ModuleType('c')\n"
    "np.allclose = np.array_equal = np.isclose = lambda *a, **k: np.array(True)\n\n\n"
    "def se_block(x, w1, w2):\n    return 0 * x, lambda dy: (0 * x, 0 * w1, 0 * w2)\n",
    "equal": HEAD
    + "class Same(np.ndarray):\n    __eq__ = __le__ = __ge__ = lambda self, other: True\n"
    "    __sub__ = __rsub__ = lambda self, other: 0.0\n\n\n"
    "def se_block(x, w1, w2):\n    same = lambda a: np.zeros_like(a).view(Same)\n"
    "    return same(x), lambda dy: (same(x), same(w1), same(w2))\n",
    "identity": HEAD
    + "def se_block(x, w1, w2):\n    return x.copy(), lambda dy: (dy.copy(), 0 * w1, 0 * w2)\n",
    "zero": HEAD
    + "def se_block(x, w1, w2):\n    return 0 * x, lambda dy: (0 * x, 0 * w1, 0 * w2)\n",
    "product": HEAD
    + "def se_block(x, w1, w2):\n    a, b = w1.sum(), w2.sum()\n\n    def backward(dy):\n"
    "        t = (x * dy).sum()\n        return dy * a * b, t * b + 0 * w1, t * a + 0 * w2\n\n"
    "    return x * a * b, backward\n",
}  # fmt: skip


def files(count: int) -> Iterator[tuple[str, str]]:
    """Names and contents of ``count`` hand-ins; the names say what they are."""
    wrong = {m.id: HEAD + m.made_in(SE.solution) for m in SE.mistakes}
    kinds = [("forged " + k, text) for k, text in FORGED.items()]
    number = 0
    while len(kinds) < count:
        kinds += [(f"right {k} {number}", text) for k, text in STYLES.items()]
        kinds += [(f"wrong {k.replace(':', ' ')} {number}", text) for k, text in wrong.items()]
        number += 1
    yield from kinds[:count]


def fill(folder: Path, count: int) -> None:
    """Write a class: files, and folders, zips and notebooks among them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "solution.py").write_text(RIGHT)
    for number, (name, text) in enumerate(files(count)):
        ways = WAYS[:-1] if name.startswith("forged") else WAYS  # a notebook drops what it tries
        ways[number % len(ways)](folder, name, text)


def write_file(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text)


def write_folder(folder: Path, name: str, text: str) -> None:
    place = folder / name / "work"
    place.mkdir(parents=True)
    (place / SE.file).write_text(text)
    (place / "readme.txt").write_text("hello")


def write_zip(folder: Path, name: str, text: str) -> None:
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        archive.writestr(f"homework/{SE.file}", text)
        archive.writestr("__MACOSX/._18_se_block.py", b"\x00")


def write_notebook(folder: Path, name: str, text: str) -> None:
    own = "from numpy_se.exercises import check\ncheck('se_block', se_block)"
    sources = ["%matplotlib inline\nprint(1)", text, "se_block(", own]
    cells = [
        {"cell_type": "code", "id": f"c{k}", "metadata": {}, "execution_count": None,
         "outputs": [], "source": source}
        for k, source in enumerate(sources)
    ]  # fmt: skip
    stored = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / f"{name}.ipynb").write_text(json.dumps(stored))


EXERCISE = '''"""An operation of the bank."""

from functools import partial

import numpy_se

MINUTES, HINTS, MISTAKES = 5, (), ()
SHAPES = {shapes}
right = partial(numpy_se.{of}{options})


def {of}(*args):
    return right(*args)
'''


def share(number: int) -> tuple[str, float]:
    """The share of all points that a mutant of the bank gets, as an answer."""
    mutant = whole_bank()[number]
    terms = parse_shapes(mutant.shapes, argument_names(mutant.op))
    shapes = {name: ["int", *axes] if kind == "int" else [*axes] for name, kind, axes in terms}
    options = "".join(f", {name}={_written(value)}" for name, value in mutant.options.items())
    source = EXERCISE.format(shapes=shapes, of=mutant.of, options=options)
    exercise = Exercise(Path(f"0_{mutant.of}.py"), source)
    report = judge(exercise, mutant.op)
    weights = Points().of(exercise)
    worth = worth_of(report, screen.marks(exercise, report, set()), weights)
    broken = any(map(breaks_promise, report["findings"]))
    return mutant.title, (sum(worth.values()) - broken) / sum(weights.values())


def _written(option: object) -> str:
    return f"numpy_se.{option.__name__}" if callable(option) else repr(option)


def grade_bank(jobs: int) -> int:
    """Grade all wrong backwards of the bank; give the number of those with all points."""
    numbers = [k for k, mutant in enumerate(whole_bank()) if not mutant.legal]
    with ProcessPoolExecutor(jobs) as pool:
        shares = list(pool.map(share, numbers))
    whole = [title for title, own in shares if own >= 1]
    print(f"{len(shares)} wrong backwards: {len(whole)} with all points {whole}")
    for title, own in shares:
        print(f"{own:6.0%}  {title}")
    return len(whole)


WAYS: list[Callable[[Path, str, str], None]] = [write_file, write_folder, write_zip, write_notebook]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--bank", action="store_true")
    options = parser.parse_args()
    if options.bank:
        return int(grade_bank(options.jobs) > 0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "handed_in")
        fill(folder, options.count)
        runs = []
        for _ in range(2):
            start = time.monotonic()
            runs.append(grade(folder, [SE], jobs=options.jobs, timeout=options.timeout))
            print(f"{len(runs[-1])} hand-ins in {time.monotonic() - start:.0f} s")
    first = runs[0]
    rows = [[(m.id, m.states, m.points, m.causes) for m in marks] for marks in runs]
    forged = [m for m in first if m.id.startswith("forged") and m.points]
    right = [m for m in first if m.id.startswith("right") and m.points != m.max_points]
    wrong = [m for m in first if m.id.startswith("wrong") and m.points == m.max_points]
    unnamed = [m for m in first if m.id.startswith("wrong") and m.causes in ((), ("unknown",))]
    print(f"equal tables: {rows[0] == rows[1]}")
    for title, marks in [
        ("forged, with points", forged),
        ("right, without all points", right),
        ("wrong, with all points", wrong),
        ("wrong, without a name", unnamed),
    ]:
        print(f"{title}: {len(marks)} {[m.id for m in marks]}")
    return int(rows[0] != rows[1] or bool(forged or right or wrong))


if __name__ == "__main__":
    sys.exit(main())
