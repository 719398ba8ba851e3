"""What the site adds to Sphinx: docstrings in plain text, links and pictures of chapters."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from docutils import nodes
from notebooks import SHARED
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx_gallery.utils import scale_image

TUTORIALS = Path(__file__).parent.parent
CHAPTERS = {int(path.stem[:2]): path.stem for path in TUTORIALS.glob("[0-9]*.py")}
CODE = re.compile(r"\s|[\w.]+(\(| = )|.*\S {2,}\S")  # indented, or a call, or in columns


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the hooks."""
    app.connect("autodoc-process-docstring", plain_text)
    app.connect("doctree-read", link_chapters)
    app.connect("builder-inited", list_chapters)
    app.connect("builder-inited", picture_chapters, priority=900)  # when all chapters have run
    app.connect("builder-inited", complete_zips, priority=900)
    return {"parallel_read_safe": True}


def plain_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn a docstring in plain text into reStructuredText, in place.

    Blocks of formulas, code and tables stay as they are. In the others, only what stands between
    two pairs of backquotes is markup, and errors and sources begin a paragraph.
    """
    blocks = re.split(r"\n(?:\s*\n)+", "\n".join(lines).strip("\n"))
    lines[:] = "\n\n".join(map(_block, blocks)).split("\n")


def _block(text: str) -> str:
    if CODE.match(text):
        indented = "\n".join("    " + line for line in text.split("\n"))
        return f"::\n\n{indented}"
    text = re.sub(r"\n(?=Raises |Source: )", "\n\n", text)
    parts = re.split(r"(``.+?``)", text, flags=re.DOTALL)
    return "".join(
        part if part.startswith("``") else re.sub(r"([*_|`\\])", r"\\\1", part) for part in parts
    )


def link_chapters(app: Sphinx, doctree: nodes.document) -> None:
    """Make a link of every "chapter 4" in a paragraph."""
    for text in list(doctree.findall(nodes.Text)):
        pieces = re.split(r"([Cc]hapter\s+\d+)", text)
        if len(pieces) > 1 and isinstance(text.parent, nodes.paragraph):
            text.parent.replace(text, [_link(app, piece) for piece in pieces])


def _link(app: Sphinx, piece: str) -> nodes.Node:
    words = nodes.Text(piece)
    number = re.fullmatch(r"[Cc]hapter\s+(\d+)", piece)
    if not number or int(number[1]) not in CHAPTERS:
        return words
    return pending_xref(
        "",
        nodes.inline("", "", words),
        refdomain="std",
        reftype="doc",
        reftarget="/gallery/" + CHAPTERS[int(number[1])],
        refexplicit=True,
        refwarn=True,
        refdoc=app.env.docname,
    )


def list_chapters(app: Sphinx) -> None:
    """Write what the front page shows of each chapter: its picture, and its title as a link."""
    rows = [".. container:: chapters", ""]
    for number, name in sorted(CHAPTERS.items()):
        title = (TUTORIALS / f"{name}.py").read_text(encoding="utf-8").splitlines()[1]
        rows += [
            f"    .. figure:: ../../.github/images/course/{number:02}.png",
            f"        :target: gallery/{name}.html",
            f"        :alt: the main figure of chapter {number}",
            "",
            f"        :doc:`{title} <gallery/{name}>`",
            "",
        ]
    file = Path(app.srcdir) / "_build" / "chapters.inc"
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(rows), encoding="utf-8")


def picture_chapters(app: Sphinx) -> None:
    """Show the main figure of each chapter, which has its name, in the overview."""
    thumbnails = Path(app.srcdir) / "gallery" / "images" / "thumb"
    for name in CHAPTERS.values():
        figure = TUTORIALS / "figures" / f"{name}.png"
        scale_image(figure, thumbnails / f"sphx_glr_{name}_thumb.png", 400, 280)


def complete_zips(app: Sphinx) -> None:
    """Add what the chapters share to the zips of scripts and of notebooks."""
    for path in (Path(app.srcdir) / "gallery").glob("*.zip"):
        with ZipFile(path, "a") as zip_file:
            for name in SHARED:
                source = TUTORIALS / name
                files = sorted(source.iterdir()) if source.is_dir() else [source]
                for file in files:
                    zip_file.write(file, file.relative_to(TUTORIALS).as_posix())


def forget_course(gallery: dict[str, Any], chapter: str) -> None:
    """Let each chapter import ``course`` anew, which sets the look of the figures."""
    sys.modules.pop("course", None)
