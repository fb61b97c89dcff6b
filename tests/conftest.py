"""For all tests: a slow machine is no failure, so a property is given the time that it takes."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
