"""Check the gradients of a function in a file: ``python -m numpy_se.checker --help``."""

from __future__ import annotations

import argparse
import json
import sys

from numpy_se.checker.file import check_file

STATUS = {"ok": 0, "wrong": 1, "inconclusive": 2, "unusable": 2}

EPILOG = """
The function gives y, backward = op(x, w, ...). Two other styles can be checked too:
  my_ops.py:forward,backward   out, cache = forward(x, w) and dx, dw = backward(dout, cache)
  my_ops.py:Layer              a class with forward(x) and backward(dy); arguments behind the first
                               are attributes: for w it has w and, after backward, dw
Shapes are sizes or letters; equal letters are axes of equal sizes, and several are tried:
  --shapes x=2,3,4,5 w1=2,3 w2=3,2      --shapes x=N,C,H,W w1=R,C w2=C,R
Labels are whole numbers: --shapes logits=N,K labels=int,N
Gradients are compared with differences of the function itself. Whether its y is the one that was
asked for is only checked with --reference.
Exit status: 0 all gradients right, 1 something wrong, 2 not usable, or inconclusive; 130 after
Ctrl-C.
"""


def main(argv: list[str] | None = None) -> int:
    """Check one function, print the report, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m numpy_se.checker",
        description="Check hand-written gradients, and say which mistake was made.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", metavar="FILE:FUNCTION", help="what to check")
    parser.add_argument("--shapes", nargs="+", required=True, metavar="NAME=A,B,...")
    parser.add_argument("--seed", type=int, default=0, help="of the random values (default: 0)")
    parser.add_argument("--timeout", type=float, default=60, metavar="S", help="(default: 60)")
    parser.add_argument(
        "--reference", metavar="FILE:FUNCTION", help="a function that gives the right y"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(argv)
    try:
        shapes = dict(map(_shape, options.shapes))
    except ValueError as error:
        parser.error(str(error))
    try:
        report = check_file(
            options.target, shapes, options.seed, options.timeout, options.reference
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(json.dumps(report, indent=2) if options.json else report["text"])
    return STATUS[report["verdict"]]


def _shape(text: str) -> tuple[str, tuple[int | str, ...]]:
    name, equals, axes = text.partition("=")
    if not (name.isidentifier() and equals and axes):
        raise ValueError(f"--shapes: {text!r} does not read as NAME=A,B,...")
    return name, tuple(int(axis) if axis.isdigit() else axis for axis in axes.split(","))


if __name__ == "__main__":
    sys.exit(main())
