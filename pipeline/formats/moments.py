"""Moments as others write them: RFC 3339, with a zone."""

from __future__ import annotations

from datetime import UTC, datetime


def in_utc(text: str) -> str:
    """A time with its zone, as the same time in UTC, in ISO 8601. Raises ValueError for anything else."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError("it has no time zone")
        return found.astimezone(UTC).isoformat()
    except OverflowError as error:
        raise ValueError("it is in no year") from error
