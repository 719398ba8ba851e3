"""Check the gradients of a function in a file: ``python -m numpy_se.checker --help``."""

from __future__ import annotations

import argparse
import io
import json
import sys

from numpy_se.checker.judge import check_file
from numpy_se.checker.judge.guard import DERIVE

STATUS = {"ok": 0, "wrong": 1, "inconclusive": 2, "unusable": 2}

EPILOG = """
The function gives y, backward = op(x, w, ...). Other styles can be checked too:
  my_ops.py:forward,backward   out, cache = forward(x, w) and dx, dw = backward(dout, cache)
  my_ops.py:Layer              a class with forward(x) and backward(dy); arguments behind those of
                               forward are attributes: for w it has w and, after backward, dw
  "my_ops.py:Layer(4, 2)"      the same, where __init__ takes something
Shapes are sizes or letters; equal letters are axes of equal sizes, and several are tried:
  --shapes x=2,3,4,5 w1=2,3 w2=3,2      --shapes x=N,C,H,W w1=R,C w2=C,R
  --shapes "N C H W, R C, C R"          for the arguments in their order, whatever their names
Labels are whole numbers: --shapes logits=N,K labels=int,N
Gradients are compared with differences of the function itself. Whether its y is the one that was
asked for is only checked with --reference.
The file is copied into an empty folder and runs there, in a process that cannot reach the verdict.
It finds no files but those of --beside, and may not import what computes derivatives by itself.
Exit status: 0 all gradients right, 1 something wrong, 2 not usable, or inconclusive; 130 after
Ctrl-C.
"""


def main(argv: list[str] | None = None) -> int:
    """Check one function, print the report, and return the exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        report = check_file(
            options.target,
            options.shapes,
            options.seed,
            options.timeout,
            options.reference,
            allow=options.allow,
            beside=options.beside,
        )
    except ValueError as error:  # numbers and shapes that do not read, a reference that fails
        parser.error(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    if isinstance(sys.stdout, io.TextIOWrapper):  # not every terminal can show every letter
        sys.stdout.reconfigure(errors="backslashreplace")
    print(json.dumps(report, indent=2) if options.json else report["text"])
    if "is not allowed in a hand-in" in report["headline"] and not options.json:
        print("  it is where you allow it: --allow numpy_se, for example")
    return STATUS[report["verdict"]]


def _parser() -> argparse.ArgumentParser:
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
    parser.add_argument(
        "--beside", nargs="+", default=[], metavar="PATH", help="files and folders that it needs"
    )
    what = f"what it may import in spite of all: {', '.join(DERIVE)}"
    parser.add_argument("--allow", nargs="+", default=[], metavar="NAME", help=what)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
