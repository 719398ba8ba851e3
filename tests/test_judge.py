"""Hand-ins that lie, crash, or reach for the verdict. None of them gets an "ok"."""

import contextlib
import io
import os
import re
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matrix import strangers_by_file
from strategies import some

from numpy_se import gradcheck
from numpy_se.checker.case import from_shapes
from numpy_se.checker.judge import check_file
from numpy_se.checker.judge.guard import DERIVE
from numpy_se.checker.judge.moves import Moves
from numpy_se.checker.judge.wire import (
    LENGTHS,
    MOST_BYTES,
    Foreign,
    WireError,
    decode,
    encode,
    pack,
    receive,
)
from numpy_se.checker.run import copies
from numpy_se.checker.slopes import quiet

WRONG = "\ndef f(x):\n    return 2 * x, lambda dy: 3 * dy\n"
RIGHT = "\ndef f(x):\n    return 2 * x, lambda dy: 2 * dy\n"


def judged(folder: Path, text: str, **options: Any) -> dict[str, Any]:
    """Check ``f`` of a file with this text, and more that holds for all reports."""
    (folder / "op.py").write_text(text, encoding="utf-8", errors="surrogatepass")
    report = check_file(f"{folder / 'op.py'}:f", options.pop("shapes", "N"), **options)
    assert len(report["headline"]) < 500
    assert report["headline"].isprintable()
    assert all(line.isprintable() for line in report["text"].split("\n"))
    return report


# Each attempt is the body of a function. What it returns is what it has got hold of.
ATTEMPTS = {
    "modules of the checker": """
        import sys
        return [name for name in sys.modules if name.startswith("numpy_se")]
    """,
    "objects in memory": """
        import gc
        wanted = "se_block", "squeeze_excite", "gradcheck", "check_file", "GradientReport"
        return [o for o in gc.get_objects() if getattr(o, "__name__", "") in wanted]
    """,
    "frames": """
        import sys
        frame, found = sys._getframe(), []
        while frame:
            names = {**frame.f_globals, **frame.f_locals}
            found += [n for n in names if n in ("right", "reference", "solution", "gradcheck")]
            frame = frame.f_back
        return found
    """,
    "the solution": "import solution; return solution",
    "a neighbour": "import alice; return alice",
    "files beside it": """
        import glob, os, sys
        return [file for path in [".", "..", *sys.path] for file in glob.glob(path + "/solution*")]
    """,
    **{f"import {name}": f"import {name}; return True" for name in DERIVE},
    "import by name": "import importlib; return importlib.import_module('numpy_se')",
    "import without hooks": f"""
        import importlib, sys
        sys.meta_path[:] = [importlib.machinery.PathFinder]
        sys.path.append({str(Path(__file__).parent.parent)!r})
        return importlib.import_module("numpy_se")
    """,
    "import of a file": f"""
        import importlib.util
        path = {str(Path(__file__).parent.parent / "numpy_se" / "se.py")!r}
        spec = importlib.util.spec_from_file_location("other", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    """,
    "a signal to the judge": "import os; os.kill(os.getppid(), 0); return True",
    "a signal to its group": "import os; os.killpg(os.getpgid(os.getppid()), 0); return True",
    "a fork": "import os; return os.fork() or os._exit(0)",
    "a shell": "import os; return not os.system('true')",
    "a process": "import subprocess; return subprocess.run(['true'])",
    "a process of multiprocessing": """
        import multiprocessing, os
        process = multiprocessing.get_context("fork").Process(target=os.getpid)
        process.start()
        return True
    """,
    "another program": "import os; os.execv('/bin/true', ['true'])",
    "the environment": "import os; return 'SECRET' in os.environ",
    "the environment of the process": """
        return b"SECRET" in open("/proc/self/environ", "rb").read()
    """,
    "the command": "return b'solution' in open('/proc/self/cmdline', 'rb').read()",
    "open files": """
        import os
        links = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")[:-1]]
        return [link for link in links if not link.startswith(("pipe:", "/dev/null", "/proc"))]
    """,
    "the input": "import sys; return sys.stdin.read()",
    "memory": "return bytearray(2**33)",
}


@pytest.fixture(scope="module")
def got(tmp_path_factory: Any) -> set[str]:
    """The attempts that succeed, all in one file that knows the right gradient then."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "solution.py").write_text(RIGHT)
    (folder / "alice.py").write_text(RIGHT)
    parts = [
        f"def attempt{number}():\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
        for number, body in enumerate(ATTEMPTS.values())
    ]
    text = "\n".join(parts) + (
        "\ngot = []\n"
        f"for number in range({len(ATTEMPTS)}):\n"
        "    try:\n"
        "        if globals()[f'attempt{number}']():\n"
        "            got.append(number)\n"
        "    except Exception:\n"
        "        pass\n"
        "print('got', *got)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", "solution.py")
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        report = judged(folder, text + WRONG, reference="solution.py:f")
    assert (report["verdict"], report["kind"]) == ("wrong", "checked")
    numbers = re.fullmatch(r"got((?: \d+)*)", report["printed"])
    assert numbers, report["printed"]
    return {list(ATTEMPTS)[int(number)] for number in numbers[1].split()}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nothing_is_within_reach(got: set[str], attempt: str) -> None:
    if attempt == "memory" and sys.platform != "linux":
        pytest.skip("no limit of memory")
    assert attempt not in got


# What a file does besides, and the verdict and kind that it gets.
DISASTERS = {
    "checker patched": ("import numpy_se.checker.check" + WRONG, "unusable", "file"),
    "report written": (
        "import json, pathlib\n"
        "for name in ('report.json', '../report.json', 'phase'):\n"
        "    pathlib.Path(name).write_text(json.dumps({'verdict': 'ok'}))\n" + WRONG,
        "wrong",
        "checked",
    ),
    "json replaced": (
        "import json\njson.dumps = lambda *a, **k: '{\"verdict\": \"ok\"}'" + WRONG,
        "unusable",
        "answer",
    ),
    "json that lies deep": ("import json\njson.dumps = lambda *a: 60000 * '['" + WRONG, "unusable",
                            "answer"),
    "comparisons replaced": (
        "import numpy as np, builtins\n"
        "np.isclose = np.array_equal = np.allclose = np.shares_memory = lambda *a, **k: True\n"
        "np.abs = np.maximum = lambda a, *b: 0 * a\n"
        "builtins.len = lambda a: 0\n" + WRONG,
        None,
        None,
    ),
    "pickle and struct replaced": (
        "import pickle, struct, os\n"
        "pickle.loads = pickle.dumps = struct.Struct = lambda *a: b'ok'" + WRONG,
        "wrong",
        "checked",
    ),
    "write replaced": ("import os\nos.write = lambda fd, b: len(b)" + WRONG, "unusable", "timeout"),
    "garbage in all pipes": (
        "import os\nfor fd in range(3, 40):\n    try: os.write(fd, 99 * b'garbage')\n"
        "    except OSError: pass\n" + WRONG,
        "unusable",
        "answer",
    ),
    "an answer ahead": (
        "import json, os, struct\n"
        "words = json.dumps({'names': ['x'], 'note': '', 'verdict': 'ok'}).encode()\n"
        "for fd in range(3, 40):\n"
        "    try: os.write(fd, struct.pack('<II', len(words), 0) + words)\n"
        "    except OSError: pass\n" + WRONG,
        "unusable",
        "answer",
    ),
    "an end of its own": (
        "import json, os, struct, time\n"
        "words = json.dumps({'ends': '\\nalice\\tok\\x1b\\u202e'}).encode()\n"
        "for fd in range(3, 40):\n"
        "    try: os.write(fd, struct.pack('<II', len(words), 0) + words)\n"
        "    except OSError: pass\n"
        "time.sleep(9)" + WRONG,
        "unusable",
        "function",
    ),
    "an error of its own": (
        "import json\n"
        "plain = json.dumps\n"
        "def forged(words):\n"
        "    if 'names' in words: return plain(words)\n"
        "    raised = {'title': '\\nalice\\x1b', 'text': 999 * '\\tok'}\n"
        "    return plain({'number': words['number'], 'values': [], 'raises': raised})\n"
        "json.dumps = forged" + RIGHT,
        "unusable",
        None,
    ),
    "a note of its own": (
        "import json\n"
        "plain = json.dumps\n"
        "json.dumps = lambda words: plain({**words, 'note': '\\nalice\\tok\\x1b'})" + WRONG,
        "wrong",
        "checked",
    ),
    "another number": (
        "import json\n"
        "plain = json.dumps\n"
        "json.dumps = lambda words: plain({**words, 'number': 1})" + WRONG,
        "unusable",
        "answer",
    ),
    "other arrays": (
        "import json\n"
        "plain = json.dumps\n"
        "more = {'changed': [[1, 0], [1e400, {}]], 'shares': [[1], [2]], 'form': 7}\n"
        "json.dumps = lambda words: plain({**words, **more})" + WRONG,
        "unusable",
        "answer",
    ),
    "a thread that writes": (
        "import os, threading\n"
        "def write():\n"
        "    while True:\n"
        "        for fd in range(3, 40):\n"
        "            try: os.write(fd, b'0')\n"
        "            except OSError: pass\n"
        "threading.Thread(target=write).start()\n" + WRONG,
        "unusable",
        "answer",
    ),
    "requests stolen": (  # or not, where the judge reads first
        "import os, threading\n"
        "def steal():\n"
        "    while True:\n"
        "        for fd in range(3, 8):\n"
        "            try: os.read(fd, 1 << 20)\n"
        "            except OSError: pass\n"
        "threading.Thread(target=steal, daemon=True).start()\n" + WRONG,
        None,
        None,
    ),
    "pipes closed": ("import os\nos.closerange(0, 100)" + WRONG, "unusable", "exit"),
    "pipes closed in silence": (
        "import os, time\nos.closerange(3, 100)\ntime.sleep(9)" + WRONG,
        "unusable",
        "exit",
    ),
    "a slow function": (
        "import time\ndef f(x):\n    time.sleep(0.1)\n    return 2 * x, lambda dy: 3 * dy\n",
        "unusable",
        "timeout",
    ),
    "stdout closed": (
        "import os, sys\nsys.stdout.close()\nos.close(1)" + WRONG,
        "wrong",
        "checked",
    ),
    "a thread that lives on": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()" + WRONG,
        "wrong",
        "checked",
    ),
    "os._exit": ("import os\nos._exit(0)" + WRONG, "unusable", "exit"),
    "sys.exit": ("import sys\nsys.exit(0)" + WRONG, "unusable", "file"),
    "a segmentation fault": ("import ctypes\nctypes.string_at(0)" + WRONG, "unusable", "exit"),
    "exit in backward": (
        "def f(x):\n    return 2 * x, lambda dy: exit()\n", "unusable", "function"
    ),
    "BaseException": (
        "class Ok(BaseException): pass\ndef f(x):\n    raise Ok('ok: all gradients agree')\n",
        "unusable",
        "function",
    ),
    "endless backward": (
        "def f(x):\n    def backward(dy):\n        while True: pass\n    return 2 * x, backward\n",
        "unusable",
        "timeout",
    ),
    "an object array": (
        "import numpy as np\n"
        "def f(x):\n    return 2 * x, lambda dy: np.array([*2 * dy], object)\n",
        "wrong",
        "checked",
    ),
    "a huge array": (
        "import numpy as np\ndef f(x):\n    return np.zeros(1 << 28), lambda dy: 2 * dy\n",
        "unusable",
        None,
    ),
    "a view without end": (
        "import numpy as np\n"
        "def f(x):\n    return 2 * x, lambda dy: np.broadcast_to(2.0, (1 << 50,))\n",
        "wrong",
        "checked",
    ),
    "nan": ("def f(x):\n    return 2 * x, lambda dy: dy / 0\n", "wrong", "checked"),
    "too many": ("def f(x):\n    return 2 * x, lambda dy: 999 * (2 * dy,)\n", "wrong", "checked"),
    "an array that is always right": (
        "import numpy as np\n"
        "class Sly(np.ndarray):\n"
        "    def __eq__(self, other): return np.True_\n"
        "    def __array_ufunc__(self, *a, **k): return np.zeros(self.shape)\n"
        "def f(x):\n    return 2 * x, lambda dy: (3 * dy).view(Sly)\n",
        "wrong",
        "checked",
    ),
    "a number that is always right": (
        "class Sly(float):\n"
        "    def __sub__(self, other): return 0.0\n"
        "    __rsub__ = __sub__\n"
        "def f(x):\n    return 2 * x, lambda dy: Sly(3)\n",
        "wrong",
        "checked",
    ),
    "__del__": (
        "import sys\n"
        "class Last:\n"
        "    def __call__(self, dy): return 3 * dy\n"
        "    def __del__(self): sys.modules['json'].dumps = None; raise ValueError('ok')\n"
        "def f(x):\n    return 2 * x, Last()\n",
        None,
        None,
    ),
    "own folder away": (
        "import os, shutil\nshutil.rmtree(os.getcwd()); os.chdir('/')" + WRONG, "wrong", "checked"
    ),
    "signals held": (
        "import signal\n"
        "for s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, signal.SIG_IGN)\n"
        "while True: pass" + WRONG,
        "unusable",
        "timeout",
    ),
    "recursion": ("def f(x):\n    return f(x)\n", "unusable", "function"),
    "a flood": (
        "def f(x):\n    print(9999 * 'ok ')\n    return 2 * x, lambda dy: 3 * dy\n",
        "wrong",
        "checked",
    ),
    "a row for another": (
        "def f(x):\n    raise ValueError('\\nalice\\tok\\tok: all\\r\\x1b[2K\\u202e\\ud800')\n",
        "unusable",
        "function",
    ),
    "a row in the name of a class": (
        "def f(x):\n    raise type('\\nalice\\tok\\x1b', (Exception,), {})\n",
        "unusable",
        "function",
    ),
    "a row in a result": (
        "def f(x):\n    return 2 * x, lambda dy: type('\\nalice\\tok\\x1b', (), {})()\n",
        "wrong",
        "checked",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", some(DISASTERS, 3))
def test_no_disaster_is_ok(tmp_path: Path, name: str) -> None:
    text, verdict, kind = DISASTERS[name]
    start = time.monotonic()
    seconds = 0.5 if kind in ("timeout", None) else 20
    report = judged(tmp_path, text, timeout=seconds, shapes={"x": (2,)})
    assert time.monotonic() - start < 25
    assert report["verdict"] in ({verdict} if verdict else {"wrong", "unusable"}), report["text"]
    assert kind is None or report["kind"] == kind, report["text"]
    assert not [name for name in os.listdir(tmp_path) if name != "op.py"]


def test_a_row_of_a_table_stays_a_row(tmp_path: Path) -> None:
    report = judged(tmp_path, DISASTERS["a row for another"][0])
    words = "unusable: ValueError: alice ok ok: all \\x1b[2K\\u202e\\ud800 (line 2 of op.py)"
    assert report["headline"] == words


SIZES = {"x": (2, 3)}
DIFFERENCES = {
    "central": "e = 0 * x; e[i] = h; dx[i] = ((g(x + e) - g(x - e)) * dy).sum() / (2 * h)",
    "in place": "x[i] += h; a = g(x); x[i] -= h; dx[i] = ((a - y) * dy).sum() / h",
    "in NumPy": "e = 0 * x; e[i] = h; dx[i] = ((x + e).mean() - x.mean()) / h * dy.sum()",
    "complex": "e = 0j * x; e[i] = 1e-20j; dx[i] = (g(x + e) * dy).sum().imag / 1e-20",
}


AT = {"backward": "slopes", "forward": "lambda dy, dx=slopes(np.ones(2)): dx * dy.mean()"}


@pytest.mark.parametrize("place", AT)
@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_are_no_derivative(tmp_path: Path, name: str, place: str) -> None:
    text = (
        "import numpy as np\n"
        "h = 1e-6\n"
        "def g(x): return x.mean() * np.ones(2)\n"
        "def f(x):\n"
        "    y = g(x)\n"
        "    def slopes(dy):\n"
        "        dx = np.zeros_like(x)\n"
        "        for i in np.ndindex(x.shape):\n"
        f"            {DIFFERENCES[name]}\n"
        "        return dx\n"
        f"    return y, {AT[place]}\n"
    )
    report = judged(tmp_path, text, shapes=SIZES)
    assert (report["verdict"], report["kind"]) == ("inconclusive", "differences"), report["text"]
    assert "it works with differences" in report["headline"]


def test_a_product_of_all_others_is_a_derivative(tmp_path: Path) -> None:
    """It also calls functions with arrays that differ in one entry."""
    text = (
        "import numpy as np\n"
        "def f(x):\n"
        "    def backward(dy):\n"
        "        dx = np.zeros_like(x)\n"
        "        for i in range(len(x)):\n"
        "            others = x.copy(); others[i] = 1\n"
        "            dx[i] = others.prod() * dy[0]\n"
        "        return dx\n"
        "    return np.array([x.prod()]), backward\n"
    )
    assert judged(tmp_path, text)["verdict"] == "ok"


@pytest.mark.parametrize("file", [file for file in strangers_by_file() if "right" in file])
def test_no_derivative_is_taken_for_differences(file: str) -> None:
    rng = np.random.default_rng(0)
    for stranger in strangers_by_file()[file][::3]:
        with (
            quiet(),
            contextlib.suppress(TypeError, ValueError),
        ):  # it does not take the first arguments
            args = stranger.given(rng) if stranger.given else ()
            args = args or from_shapes(stranger.shapes, None, stranger.op).draw(rng)
            moves = Moves(args)
            with moves.watched():
                y, backward = stranger.op(*copies(args))
                backward(rng.standard_normal(np.shape(y)))
            assert not moves.places, stranger.title


def test_moves_by_much_are_no_differences() -> None:
    moves = Moves([x := np.array([1.001, 0.999, 1.002, 3.0])])
    with moves.watched():
        for place in range(4):
            others = x.copy()
            others[place] = 1
            others.prod()
    assert len(moves.places) == 3
    assert not moves.are_differences


# Promises about arrays, which must be seen over there as they are here.
PROMISES = """
import numpy as np
buffer, held = np.zeros(3), {}

def right(x): return 2 * x, lambda dy: 2 * dy
def changes_x(x):
    x *= 2
    return x.copy(), lambda dy: 2 * dy
def shares_y(x): return x, lambda dy: dy.copy()
def part_of_x(x): return x[::-1], lambda dy: dy[::-1].copy()
def shares_dy(x): return x.copy(), lambda dy: dy
def changes_dy(x):
    def backward(dy):
        dy *= 2
        return dy.copy()
    return 2 * x, backward
def changes_y(x):
    y = 2 * x
    def backward(dy):
        y[:] = 0
        return 2 * dy
    return y, backward
def shares_both(x, w):
    def backward(dy):
        g = dy.copy()
        return g, g
    return x + w, backward
def adds_up(x):
    dx = np.zeros_like(x)
    def backward(dy):
        nonlocal dx
        dx = dx + 2 * dy
        return dx.copy()
    return 2 * x, backward
def reused(x):
    dx = np.zeros_like(x)
    def backward(dy):
        dx[...] = 2 * dy
        return dx
    return 2 * x, backward
def overwritten(x):
    held["x"] = x
    return x**2, lambda dy: 2 * held["x"] * dy
def a_buffer(x):
    held.setdefault(x.shape, np.zeros(x.shape))[...] = 2 * x
    return held[x.shape], lambda dy: 2 * dy
def flat_only(x): return 2 * x, lambda dy: 2 * np.frombuffer(dy.tobytes()).reshape(dy.shape) * (
    1 + (dy.strides != (8,)))
def single(x): return (2 * x).astype(np.float32).astype(float), lambda dy: 2 * dy
def inf_by_inf(x):
    y = np.exp(x) / (1 + np.exp(x))
    return y, lambda dy: dy * np.exp(x) / (1 + np.exp(x)) ** 2
def real_only(x):
    y = np.zeros_like(x, float)
    y[...] = x.real * 2
    return y, lambda dy: 2 * dy
def log(x): return np.log(x), lambda dy: dy / x
def a_list(x): return 2 * x, lambda dy: [2 * d for d in dy]
def a_float(x): return float(x.sum()), lambda dy: dy * np.ones_like(x)
def none(x): return 2 * x, lambda dy: None
def pair(x): return 2 * x, lambda dy: (2 * dy, None)
def raises(x): return 2 * x, lambda dy: {}["dx"]
"""
NAMES = re.findall(r"^def (\w+)", PROMISES, flags=re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_a_function_elsewhere_is_seen_as_one_here(tmp_path: Path, name: str) -> None:
    names: dict[str, Any] = {}
    (tmp_path / "op.py").write_text(PROMISES)
    exec(compile(PROMISES, str(tmp_path / "op.py"), "exec"), names)
    shapes = "N, N" if name == "shares_both" else "N"
    here = gradcheck(names[name], shapes=shapes)
    there = check_file(f"{tmp_path / 'op.py'}:{name}", shapes)
    assert there["text"] == str(here)
    assert {**there, **here.to_dict()} == there


def test_calls_that_are_over_are_dropped(tmp_path: Path) -> None:
    text = (
        "class Back:\n"
        "    alive = 0\n"
        "    def __init__(self): Back.alive += 1\n"
        "    def __del__(self): Back.alive -= 1\n"
        "    def __call__(self, dy): return 2 * dy\n"
        "def f(x):\n"
        "    assert Back.alive < 9\n"
        "    return 2 * x, Back()\n"
    )
    assert judged(tmp_path, text, shapes={"x": (3,)})["verdict"] == "ok"


def test_what_lies_beside_is_copied_and_links_are_not(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "table.txt").write_text("2")
    (tmp_path / "helper.py").write_text("two = float(open('mine/table.txt').read())")
    text = "from helper import two\ndef f(x):\n    return two * x, lambda dy: two * dy\n"
    assert judged(tmp_path, text)["headline"].startswith("unusable: ModuleNotFoundError: ")
    beside = [tmp_path / "helper.py", tmp_path / "mine"]
    assert judged(tmp_path, text, beside=beside)["verdict"] == "ok"
    (tmp_path / "mine" / "link").symlink_to(tmp_path)
    linked = judged(tmp_path, text, beside=beside)
    assert (
        linked["headline"]
        == "unusable: ValueError: 'link' is a link, or no file; hand in the file itself"
    )
    (tmp_path / "solution.py").write_text(RIGHT)
    (tmp_path / "alice.py").symlink_to("solution.py")
    report = check_file(f"{tmp_path / 'alice.py'}:f", "N")
    assert (report["verdict"], report["kind"]) == ("unusable", "file")


def test_the_package_is_allowed_where_the_teacher_wants(tmp_path: Path) -> None:
    text = "from numpy_se import relu as f"
    assert judged(tmp_path, text)["kind"] == "file"
    assert judged(tmp_path, text, allow=["numpy_se"])["verdict"] == "ok"
    with pytest.raises(ValueError, match="allow has 'numpy'; it wants some of torch, jax"):
        judged(tmp_path, text, allow=["numpy"])


def test_a_reference_may_have_its_arguments_in_another_order(tmp_path: Path) -> None:
    order = "def f({}): return x @ w, lambda dy: ({})\n"
    (tmp_path / "g.py").write_text(order.format("w, x", "x.T @ dy, dy @ w.T"))
    text = order.format("x, w", "dy @ w.T, x.T @ dy")
    shapes = {"x": "N C", "w": "C O"}
    report = judged(tmp_path, text, shapes=shapes, reference=f"{tmp_path / 'g.py'}:f")
    assert report["verdict"] == "ok"
    assert report["gradients"]["y"] == {"state": "right", "causes": []}


def test_a_wrong_y_is_told_with_arguments_that_show_it(tmp_path: Path) -> None:
    (tmp_path / "g.py").write_text("def f(x): return 2 * x, lambda dy: 2 * dy\n")
    text = "def f(x): return abs(2 * x), lambda dy: 2 * dy\n"
    report = judged(tmp_path, text, reference=f"{tmp_path / 'g.py'}:f")
    assert (report["verdict"], report["kind"]) == ("wrong", "forward")
    y = report["gradients"]["y"]
    assert (y["state"], y["causes"]) == ("wrong", ["unknown"])
    assert min(y["arguments"]["x"]) < 0
    assert report["gradients"]["dx"]["state"] == "wrong"  # beside differences of this y
    assert report["headline"].startswith("y is wrong: y[")
    assert "dx is wrong" in report["headline"]


REFERENCES = {
    "def g(x): return x": "g.py has no function 'f'; it has g",
    "def f(x): return x": "gives an ndarray; it must give y, backward",
    "1 / 0": "ZeroDivisionError: division by zero (line 1 of g.py)",
    "import os; os._exit(3)": "it ends the Python process, with exit status 3",
    "def f(x): return 1 / 0": "ZeroDivisionError: division by zero (line 1 of g.py)",
    "while True: pass": "it takes longer than 1 s, while the file was loaded",
}


@pytest.mark.parametrize("text", REFERENCES)
def test_a_reference_that_fails_is_told_to_the_teacher(tmp_path: Path, text: str) -> None:
    (tmp_path / "g.py").write_text(text)
    words = f"check_file: the reference cannot be used: .*{re.escape(REFERENCES[text])}"
    with pytest.raises(ValueError, match=words) as told:
        judged(tmp_path, RIGHT, reference=f"{tmp_path / 'g.py'}:f",
               timeout=1 if "while" in text else 20)  # fmt: skip
    assert str(told.value).isprintable()


# The messages.

ARRAYS = hnp.arrays(
    st.sampled_from([np.float64, np.float32, np.complex128, np.int64, np.bool_, ">f8"]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


def read(data: bytes) -> Any:
    """Read a message that comes in parts."""
    parts = [data[i : i + 7] for i in range(0, len(data), 7)]

    def part(most: int) -> bytes:
        if not parts:
            raise EOFError
        return parts.pop(0)

    return receive(part)


@given(st.lists(ARRAYS | st.none() | st.floats() | ARRAYS.map(lambda a: a.sum()), max_size=4))
def test_values_come_back(values: list[Any]) -> None:
    kinds, arrays = encode(values)
    again = decode(*read(pack(kinds, arrays)))
    assert list(map(type, again)) == list(map(type, values))
    for a, b in zip(again, values, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype


@given(st.binary(max_size=40), st.binary(max_size=200))
def test_what_is_no_message_is_refused(words: bytes, body: bytes) -> None:
    with pytest.raises((WireError, EOFError)):
        read(LENGTHS.pack(len(words), len(body) + 1) + words + b"\x93" + body)


def test_one_message_is_one() -> None:
    with pytest.raises(WireError, match="more than one message"):
        read(pack({}) + pack({}))


@pytest.mark.parametrize("array", [np.array([{}]), np.array(["ok"]), np.zeros(2, "f8,i4")])
def test_arrays_of_no_numbers_are_refused(array: Any) -> None:
    file = io.BytesIO()
    np.save(file, array)
    with pytest.raises(WireError):
        read(LENGTHS.pack(2, len(file.getvalue())) + b"{}" + file.getvalue())


@pytest.mark.parametrize("lengths", [(1 << 31, 0), (2, MOST_BYTES + 1)])
def test_what_is_too_long_is_not_waited_for(lengths: tuple[int, int]) -> None:
    with pytest.raises(WireError, match="longer than 256 MB"):
        read(LENGTHS.pack(*lengths) + b"{}")


@pytest.mark.parametrize(
    "kinds", [3, [3], ["array", "array"], [], ["other "], ["pickle"], 101 * ["none"]]
)
def test_words_that_do_not_fit_are_refused(kinds: Any) -> None:
    with pytest.raises(WireError):
        decode(kinds, [np.zeros(1)])


def test_a_stranger_has_the_name_of_its_type() -> None:
    (value,) = decode(*encode([{}]))
    assert isinstance(value, Foreign)
    assert type(value).__name__ == "dict"
