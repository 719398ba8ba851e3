"""One syntax for shapes, in Python and at the shell."""

import keyword
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_se.checker.shapes import JOINED, argument_names, parse_shapes

NAMES = ("x", "w", "b")
X = ("x", "float", ("N", "C"))
W = ("w", "float", (3, 4))
READS: list[tuple[Any, list[Any]]] = [
    ("N C, 3 4", [X, W]),
    ("N C; 3 4", [X, W]),
    ("x=N,C w=3,4", [X, W]),
    ("x=N C; w=3 4", [X, W]),
    ("x=N C, w=3 4", [X, W]),
    ("w = 3 4, x = N, C", [X, W]),
    ("x=(N, C) w=(3,4)", [X, W]),
    (["x=N,C", "w=3,4"], [X, W]),
    (("w=3 4", "x=N C"), [X, W]),
    (["N C, 3 4"], [X, W]),
    ({"x": ("N", "C"), "w": (3, 4)}, [X, W]),
    ({"w": [3, np.int64(4)], "x": "N C"}, [X, W]),
    ({"x": "N,C", "w": ("3", "4")}, [X, W]),
    ("int N, ...", [("x", "int", ("N",)), ("w", "float", ("A", "B"))]),
    ("x=int,N w=...", [("x", "int", ("N",)), ("w", "float", ("A", "B"))]),
    ({"x": ("int", "N"), "w": (...,)}, [("x", "int", ("N",)), ("w", "float", ("A", "B"))]),
    ("N C, ()", [X, ("w", "float", ())]),
    ("N C,", [X, ("w", "float", ())]),
    ("x=N,C w=", [X, ("w", "float", ())]),
    ("x=N,C w=()", [X, ("w", "float", ())]),
    ({"x": "N C", "w": ()}, [X, ("w", "float", ())]),
    ("int", [("x", "int", ())]),
    ("x=KH,KW,OH,HH,batch", [("x", "float", ("KH", "KW", "OH", "HH", "batch"))]),
]


@pytest.mark.parametrize(("shapes", "wanted"), READS, ids=lambda value: str(value)[:40])
def test_what_reads(shapes: Any, wanted: list[Any]) -> None:
    assert parse_shapes(shapes, NAMES) == wanted


letters = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,3}", fullmatch=True).filter(
    lambda text: text != "int" and not JOINED.fullmatch(text)
)
axes = st.lists(letters | st.integers(1, 99), max_size=4)
terms = st.lists(st.tuples(st.booleans(), axes), min_size=1, max_size=4)
names = st.lists(letters.filter(lambda n: not keyword.iskeyword(n)), min_size=4, unique=True)


@settings(max_examples=100)
@given(terms, names, st.randoms())
def test_every_syntax_reads_as_the_same(terms: Any, names: list[str], random: Any) -> None:
    words = [["int"] * integer + list(map(str, own)) for integer, own in terms]
    named = list(zip(names, words, strict=False))
    wanted = [
        (name, "int" if integer else "float", tuple(own))
        for name, (integer, own) in zip(names, terms, strict=False)
    ]
    assert parse_shapes(", ".join(" ".join(own) or "()" for own in words), names) == wanted
    random.shuffle(named)
    for shapes in (
        " ".join(f"{name}={','.join(own)}" for name, own in named),
        "; ".join(f"{name}={' '.join(own) or '()'}" for name, own in named),
        [f"{name}={','.join(own)}" for name, own in named],
        dict(named),
        {name: " ".join(own) for name, own in named},
        {name: ",".join(own) for name, own in named},
    ):
        assert parse_shapes(shapes, names) == wanted


REFUSED: list[tuple[Any, type[Exception], str]] = [
    ("NCHW", ValueError, r"shapes: x has an axis 'NCHW'; did you mean \"N C H W\"\?"),
    ("N C, OI", ValueError, r"shapes: w has an axis 'OI'; did you mean \"O I\"\?"),
    ({"b": "N", "w": "NC", "x": "N"}, ValueError, r"shapes: w has an axis 'NC'"),
    ("N C, N -1", ValueError, "shapes: w has an axis '-1'; it wants a letter, or a size of at"),
    ("N 0", ValueError, "shapes: x has an axis 0; it wants a letter, or a size of at least 1"),
    ("N H-1", ValueError, "shapes: x has an axis 'H-1'"),
    ("²", ValueError, "shapes: x has an axis '²'"),
    ("N int", ValueError, "shapes: x has an axis 'int'"),
    ("x=N,,C", ValueError, "shapes: x has an axis ''"),
    ({"x": (2.5,)}, ValueError, "shapes: x has an axis 2.5"),
    ({"x": (True,)}, ValueError, "shapes: x has an axis True"),
    ("", ValueError, "shapes is empty; it wants a string such as"),
    ([], ValueError, "shapes is empty"),
    ({}, ValueError, "shapes is empty"),
    (["N", "C"], ValueError, "'N C' has no names; it wants NAME=A,B,... for each, or one string"),
    (["x=N", "C"], ValueError, "'C' does not read as NAME=A,B,..."),
    ("x=N x=C", ValueError, "x is there twice"),
    ("x-y=N", ValueError, "'x-y=N' does not read as NAME=A,B,..."),
    ("2x=N", ValueError, "'2x=N' does not read as NAME=A,B,..."),
    ("z=N", ValueError, "there is no argument 'z'; it wants x, w, b"),
    ("N, N, N, N", ValueError, "axes of 4 arguments; op takes 3, x, w and b"),
    ("w=N", ValueError, "x is left out; it wants axes, or ()"),
    (5, TypeError, "shapes is an int; it wants a string such as"),
    ([(2, 3)], TypeError, "shapes is a list; it wants a string such as"),
    ({"x": 3}, TypeError, r"shapes: x is 3; it wants axes such as \(2, 3\)"),
]


@pytest.mark.parametrize(("shapes", "kind", "message"), REFUSED, ids=lambda value: str(value)[:30])
def test_what_does_not_read_is_refused_by_name(
    shapes: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=f"^gradcheck: .*{message}"):
        parse_shapes(shapes, NAMES)


def test_names_of_arguments() -> None:
    def op(x: Any, /, w: Any, eps: float = 1e-5, *, axis: int = 0, **more: Any) -> None: ...
    def any_number(x: Any, *rest: Any) -> None: ...

    assert argument_names(op) == ("x", "w", "eps")
    assert argument_names(any_number) == ("x", "*rest")
    assert argument_names(dict) == ("*args",)  # a function in C without a signature
    assert parse_shapes("N, C", argument_names(any_number))[1].name == "arg1"
    assert [s.name for s in parse_shapes("w=N x=C")] == ["w", "x"]
