"""Write the chapters as notebooks: ``python tutorials/notebooks.py FOLDER``.

The folder holds all that they need besides the package with its extra ``tutorials``: the files that
the chapters share, and the kept results. Needs sphinx-gallery, which is in the extra ``docs``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
SHARED = ("course.py", "evidence.py", "rules.py", "course.mplstyle", "block_picture.py", "results")
FIRST_CELL = "%matplotlib inline"


def write(folder: Path) -> list[Path]:
    """Write the notebooks and what they share to a folder; give the notebooks."""
    from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF
    from sphinx_gallery.notebook import jupyter_notebook, save_notebook
    from sphinx_gallery.py_source_parser import split_code_and_text_blocks

    folder.mkdir(parents=True, exist_ok=True)
    settings = {**DEFAULT_GALLERY_CONF, "first_notebook_cell": FIRST_CELL}
    written = []
    for chapter in sorted(HERE.glob("[0-9]*.py")):
        _, blocks = split_code_and_text_blocks(str(chapter))
        written.append(folder / f"{chapter.stem}.ipynb")
        save_notebook(jupyter_notebook(blocks, settings, str(folder)), str(written[-1]))
    copy_shared(folder)
    return written


def copy_shared(folder: Path) -> None:
    """Copy what the chapters share."""
    for name in SHARED:
        source, copy = HERE / name, folder / name
        if source.is_dir():
            shutil.copytree(source, copy, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, copy)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    try:
        count = len(write(folder))
    except ImportError as error:
        print(f"{error}; get all that is needed: pip install -e '.[docs]'", file=sys.stderr)
        return 2
    print(f"{count} notebooks in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
