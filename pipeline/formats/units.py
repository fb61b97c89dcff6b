"""Sizes as people read them."""

from __future__ import annotations

_KILO = 1000
_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB", "ZB")


def size(count: int) -> str:
    """Bytes in decimal units, with three digits: ``857 MB``, ``4.01 GB``, ``12.4 GB``, ``80 bytes``."""
    if count < _KILO:
        return f"{count} bytes"
    value, unit = count / _KILO, 0
    while round(value) >= _KILO:
        value, unit = value / _KILO, unit + 1
    number = next(text for places in (2, 1, 0) if len(text := f"{value:.{places}f}") <= len("12.4"))
    return f"{number} {_UNITS[unit]}"
