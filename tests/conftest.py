"""Profiles of hypothesis: the same few examples in each run, or a search with many new ones.

    python -m pytest                              everybody gets the same result, every time
    python -m pytest --hypothesis-profile=search  new examples in each run, and many of them

``ci``, which hypothesis takes on its own in CI, is as the default. HYPOTHESIS_PROFILE in the
environment names a profile, too; the command line comes first.
"""

import os

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
