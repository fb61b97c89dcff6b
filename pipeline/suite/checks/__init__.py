"""The checks: functions whose docstrings say when they pass; a file has those of one server or subject."""

from __future__ import annotations

from collections.abc import Callable

Note = Callable[[str, str], None]
"""Puts a fact by its name into the check's line, whatever becomes of the check."""
