"""Settings of the test run: no deadline, and no search for explanations of what fails."""

from hypothesis import Phase, settings

phases = [phase for phase in Phase if phase is not Phase.explain]
settings.register_profile("default", deadline=None, max_examples=8, phases=phases)
settings.register_profile("ci", settings.get_profile("ci"), max_examples=8, phases=phases)
settings.load_profile("ci" if settings.get_current_profile_name() == "ci" else "default")
