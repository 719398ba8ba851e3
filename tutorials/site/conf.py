"""How Sphinx makes the site of the course. ``build.py`` is the command."""

import sys
from importlib.resources import files
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]  # hooks, course, numpy_se

project = "numpy_se"
author = "The numpy_se authors"
project_copyright = author
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
    "hooks",
]
exclude_patterns = ["_build"]
highlight_language = "none"  # a block of a docstring is a formula more often than code
suppress_warnings = ["config.cache"]

html_theme = "furo"
html_title = "numpy_se"
html_static_path = ["_static", str(files("mathjax") / "static/mathjax/es5/tex-svg.js")]
html_css_files = ["site.css"]
html_copy_source = False
mathjax_path = "tex-svg.js"  # a copy in the site: formulas appear without a network

sphinx_gallery_conf = {
    "examples_dirs": "..",
    "gallery_dirs": "gallery",
    "filename_pattern": r"[\\/]\d\d_\w+\.py$",
    "ignore_pattern": r"(^|[\\/])[a-z_]+\.py$",  # what is no chapter
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": ("matplotlib", "hooks.forget_course"),
    "first_notebook_cell": (
        "# This notebook needs numpy_se[tutorials], and the files that are beside it in the\n"
        "# zip of all notebooks.\n"
        "%matplotlib inline"
    ),
    "write_computation_times": False,
    "show_signature": False,
}

add_module_names = False
autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": False}
autodoc_typehints = "none"  # the docstrings say the shapes
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
