"""Profiles of hypothesis: the same few examples in each run, or a search with many new ones.

    python -m pytest                              everybody gets the same result, every time
    python -m pytest --hypothesis-profile=search  new examples in each run, and many of them

``ci``, which hypothesis takes on its own in CI, is as the default. HYPOTHESIS_PROFILE in the
environment names a profile, too; the command line comes first.

Tests that are marked ``slow``, such as those of grading and of the course, are left out unless they
are asked for: by ``--all``, ``-m``, ``-k``, or the name of a file.
"""

import os
from typing import Any

from hypothesis import Phase, settings

FEW, MANY = 5, 300

plain, ci = settings.get_profile("default"), settings.get_profile("ci")
phases = [phase for phase in Phase if phase is not Phase.explain]
settings.register_profile("search", plain, deadline=None, max_examples=MANY, phases=phases)
for name, parent in (("default", plain), ("ci", ci)):
    settings.register_profile(
        name,
        parent,
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=FEW,
        phases=phases,
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or settings.get_current_profile_name())


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--all", action="store_true", help="run what takes long as well")


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    asked = config.option.all or config.option.markexpr or config.option.keyword
    if asked or any("test_" in str(place) for place in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]
