"""Settings of the test run: no deadline, as a gradient check takes as long as it takes."""

from hypothesis import settings

settings.register_profile("default", deadline=None, max_examples=20)
settings.register_profile("ci", settings.get_profile("ci"), max_examples=20)
settings.load_profile("ci" if settings.get_current_profile_name() == "ci" else "default")
