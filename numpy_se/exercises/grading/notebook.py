"""The code of a notebook, as a file: what it defines, without what it tries out."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from numpy_se.checker.words import in_short

MAGIC = ("%", "!", "?")
KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
INSTALL = "notebooks are read with nbformat: pip install nbformat"


class NotebookError(ValueError):
    """A file that is no notebook."""


def code_of(path: Path) -> str:
    """Imports, functions, classes and assignments of the code cells, in their order.

    Calls, prints and figures are left out, as are a check in a cell and a cell that does not read.
    Raises NotebookError for a file that is no notebook, and ImportError without nbformat.
    """
    try:
        import nbformat
    except ImportError as error:
        raise ImportError(INSTALL) from error
    try:
        read: Any = nbformat.read
        cells = read(path, as_version=4).cells
        sources = [str(cell.source) for cell in cells if cell.cell_type == "code"]
    except Exception as error:  # whatever stands in the file
        raise NotebookError(f"it is no notebook that reads: {in_short(error)}") from error
    return "\n".join(map(_definitions, sources))


def _definitions(source: str) -> str:
    if source.lstrip().startswith("%%"):
        return ""
    lines = (line for line in source.split("\n") if not line.lstrip().startswith(MAGIC))
    try:
        body = ast.parse("\n".join(lines)).body
    except (SyntaxError, ValueError):
        return ""
    kept: list[ast.stmt] = [
        node for node in body if isinstance(node, KEPT) and not _is_the_check(node)
    ]
    return ast.unparse(ast.Module(kept, []))


def _is_the_check(node: ast.stmt) -> bool:
    """Tell whether this is ``from numpy_se.exercises import check``, which a grader needs not."""
    return isinstance(node, ast.ImportFrom) and node.module == "numpy_se.exercises"
