"""Bytes that no reader wants: damaged samples, and what people who attack parsers send first."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WHOLE = (
    b"",
    b"\0",
    bytes(5000),
    b"\n" * 3000,
    b"\xff\xfe\x00{",
    b"\xef\xbb\xbf{}",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"- " * 20_000,
    b"{" * 20_000,
    b"9" * 5000,
    b"-1",
    b"1e999999",
    b"NaN",
    b"Infinity",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"[[]]",
    b'""',
    b'"\\ud800"',
    b'{"a": 1, "a": 2}',
    b'{"\\ud800": "\\udfff"}',
    "²½٣\u2028\u202e".encode(),
    b"a" * 200_000,
    b"::stop-commands::x\n##[error]\x1b]0;x\x07",
    b"../../../etc/passwd",
)
"""Whole inputs."""

WORDS = (
    b"",
    b"\0",
    b"-1",
    b"9" * 5000,
    b"99999999999999999999",
    b"1e999",
    b"nan",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"[[[[",
    b"\xff",
    b"\\ud800",
    "²".encode(),
    "٣".encode(),
    "\u2028".encode(),
    b"..",
    b"a/../../b",
    b"/etc/passwd",
    b"//",
    b"%s%n",
    b"\x1b[2J",
    b"\n",
    b" ",
    b"http://[::1",
    b"x" * 5000,
    b"2026-99-99T99:99:99Z",
    b"0001-01-01T00:00:00+23:59",
    b"sha256:" + b"0" * 64,
    b"1.0.post1.dev2+local",
    b"!",
)
"""What stands in for a word of a sample."""

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "\0",
    "\ud800",
    "²",
    "x" * 5000,
    "..",
    "2026-99-99T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    [],
    {},
    [None],
    [[]],
    {"": None},
    ["\ud800"] * 3,
)
"""What stands in for a value of a sample in JSON."""


def of(samples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Hostile input for a reader of such samples."""
    ways = [st.binary(max_size=300)]
    for sample in samples:
        ways += [edited(sample), reworded(sample)]
        value = _json(sample)
        if value is not None:
            ways.append(revalued(value))
    return st.one_of(ways)


@st.composite
def edited(draw: st.DrawFn, sample: bytes) -> bytes:
    """Some bytes are others, and it may end too early."""
    body = bytearray(sample)
    for at, more in draw(
        st.lists(
            st.tuples(st.integers(0, max(0, len(body) - 1)), st.binary(min_size=1, max_size=8)), max_size=5
        )
    ):
        body[at : at + len(more)] = more
    return bytes(body[: draw(st.integers(0, len(body)))]) if draw(st.booleans()) else bytes(body)


@st.composite
def reworded(draw: st.DrawFn, sample: bytes) -> bytes:
    """Some words are others."""
    words = re.findall(rb"[A-Za-z0-9_.+-]+|.", sample, re.DOTALL)
    for _ in range(draw(st.integers(1, 3)) if words else 0):
        words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(WORDS))
    return b"".join(words)


@st.composite
def revalued(draw: st.DrawFn, sample: Any) -> bytes:
    """JSON in which some values are others, are gone, or have another name."""
    value = copy.deepcopy(sample)
    for _ in range(draw(st.integers(1, 2))):
        places = list(_places(value))
        if not places:
            break
        holder, name = draw(st.sampled_from(places))
        match draw(st.sampled_from(("another", "another", "gone", "twice"))):
            case "another":
                holder[name] = copy.deepcopy(draw(st.sampled_from(VALUES)))
            case "gone":
                del holder[name]
            case "twice" if isinstance(holder, list):
                holder.append(holder[name])
            case _:
                holder["more"] = holder[name]
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every value in another one, as its holder and its name there."""
    names = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for name in list(names):
        yield value, name
        yield from _places(value[name])


def _json(sample: bytes) -> Any:
    try:
        value = json.loads(sample)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None
