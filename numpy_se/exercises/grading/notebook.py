"""The code of a notebook, as a file: what it defines, without what it tries out."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy_se.checker.words import in_short

# Lines for the notebook alone: "%time", "!ls", "t = %timeit f()"
MAGIC = re.compile(r"^\s*(?:[%!?]|[\w, ]+=\s*[%!]).*$", re.MULTILINE)
PYTHON = re.compile(r"%%(time|timeit|capture|prun)\b")  # cells of Python behind such a line
IMPORTS = (ast.Import, ast.ImportFrom)
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


class MissingPackageError(ImportError):
    """A notebook is to be read, and nbformat is not installed."""


def code_of(path: Path) -> tuple[str, list[str]]:
    """Imports, functions and classes of the code cells, and the assignments that these read.

    Also tells which cells do not read. Calls, prints and figures are left out, as is the check of
    the exercises. Raises ValueError for a file that is no notebook.
    """
    try:
        import nbformat
    except ImportError as error:
        text = "notebooks are read with nbformat: pip install nbformat"
        raise MissingPackageError(text) from error
    read: Any = nbformat.read
    try:
        cells = read(path, as_version=4).cells
        sources = [str(cell.source) for cell in cells if cell.cell_type == "code"]
    except Exception as error:  # whatever stands in the file
        raise ValueError(f"it is no notebook that reads: {in_short(error)}") from error
    body: list[ast.stmt] = []
    dropped: list[str] = []
    for number, source in enumerate(sources, 1):
        try:
            body += _parsed(source)
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            dropped.append(f"code cell {number} does not read: {in_short(error)}")
    return ast.unparse(ast.Module(_kept(body), [])), dropped


def _parsed(source: str) -> list[ast.stmt]:
    if source.lstrip().startswith("%%"):
        first, _, rest = source.lstrip().partition("\n")
        return _parsed(rest) if PYTHON.match(first) else []
    try:
        return ast.parse(source).body
    except SyntaxError:
        return ast.parse(MAGIC.sub("", source)).body


def _kept(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """What defines, and the assignments that are read there, one by way of another."""
    defining = [n for n in body if isinstance(n, DEFINITIONS) or _is_needed_import(n)]
    assigned = [n for n in body if isinstance(n, ast.Assign | ast.AnnAssign)]
    kept, wanted = {*defining}, _names(defining, ast.Load)
    while more := [n for n in assigned if n not in kept and wanted & _names([n], ast.Store)]:
        kept.update(more)
        wanted |= _names(more, ast.Load)
    return [node for node in body if node in kept]


def _names(nodes: Sequence[ast.AST], context: type[ast.expr_context]) -> set[str]:
    found = (name for node in nodes for name in ast.walk(node) if isinstance(name, ast.Name))
    return {name.id for name in found if isinstance(name.ctx, context)}


def _is_needed_import(node: ast.stmt) -> bool:
    """Tell whether this is an import, but for that of the check, which a grader needs not."""
    check = isinstance(node, ast.ImportFrom) and node.module == "numpy_se.exercises"
    return isinstance(node, IMPORTS) and not check
