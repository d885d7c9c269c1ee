"""No test of the planner fails for the time that it takes: machines are shared."""

from hypothesis import settings

settings.register_profile("centime", deadline=None)
settings.load_profile("centime")
