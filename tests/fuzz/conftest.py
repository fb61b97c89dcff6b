"""How long is searched: a little in every run of the tests, and for minutes in ``nox -s fuzz``."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, settings

settings.register_profile(
    "minutes",
    max_examples=10_000,
    deadline=timedelta(seconds=5),
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
