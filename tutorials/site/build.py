"""Build the site: ``python tutorials/site/build.py [--quick]``.

It runs all chapters and writes tutorials/site/_build/html, which can be read without a network, and
can be put on any web server. ``--quick`` runs the chapters in their quick mode. ``--thumbnails 05``
does something else: it makes the small picture of this chapter in tutorials/README.md, from its
figure in tutorials/figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
TUTORIALS = HERE.parent
PICTURES = TUTORIALS.parent / ".github" / "images" / "course"
NEEDED = ("sphinx", "sphinx_gallery", "furo", "mathjax", "matplotlib")
WIDTH = 240  # pixels of a small picture


def main() -> int:
    """Build the site, or the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="run the chapters in quick mode")
    parser.add_argument(
        "--thumbnails", nargs="+", metavar="NN", help="only make the pictures of these chapters"
    )
    options = parser.parse_args()
    if options.thumbnails:
        return thumbnails(options.thumbnails)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(f"The site needs {', '.join(missing)}. Get all it needs: pip install -e '.[docs]'")
        return 2
    return build(options.quick)


def build(quick: bool) -> int:
    """Build everything anew; a warning is an error."""
    from sphinx.cmd.build import build_main

    os.environ["NUMPY_SE_QUICK"] = str(int(quick))
    for made in (HERE / "gallery", HERE / "_build"):
        shutil.rmtree(made, ignore_errors=True)
    start, pages = time.monotonic(), HERE / "_build" / "html"
    doctrees = HERE / "_build" / "doctrees"
    tags = ["-t", "quick"] if quick else []
    status = build_main(
        ["-W", "--keep-going", "-q", *tags, "-d", str(doctrees), str(HERE), str(pages)]
    )
    if status == 0:
        print(f"{time.monotonic() - start:.0f} s. Open {pages / 'index.html'} in a browser.")
    return status


def thumbnails(numbers: list[str]) -> int:
    """Make a small picture of the main figure of each of these chapters."""
    from PIL import Image

    PICTURES.mkdir(parents=True, exist_ok=True)
    for chapter in sorted(TUTORIALS.glob("[0-9]*.py")):
        if chapter.stem[:2] not in numbers:
            continue
        figure = TUTORIALS / "figures" / f"{chapter.stem}.png"
        if not figure.exists():
            print(f"run {chapter.name} first: there is no {figure.name}")
            continue
        picture = Image.open(figure).convert("RGB")
        picture = picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)))
        file = PICTURES / f"{chapter.stem[:2]}.png"
        picture.quantize(64).save(file, optimize=True)
        print(f"{file.name}: {file.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
