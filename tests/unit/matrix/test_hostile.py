"""A file that plays tricks on its reader gets one clear answer with a place, at once, in little memory.

The corpus holds what YAML makes of innocent text (the Norway problem, sexagesimal numbers, dates), what it
allows and nobody expects (tags, anchors, merge keys, directives), and what should only be large.
"""

from __future__ import annotations

import re
import statistics
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from pipeline import matrix
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

MILLISECONDS = 50
"""The most of CPU that a refusal takes, in the median, on two cores with nothing else to do."""

MARGIN = 5
"""How much slower the machine of the tests may be."""

MEGABYTES = 8
"""The most memory that it may take at its peak."""

GOOD = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
vllm: ["0.32.0"]
base: {refresh: "2026-11-20"}
publish: {repository: 127.0.0.1:5000/a}
"""

SCALARS = (
    *("yes", "no", "on", "off", "Yes", "NO", "true", "False", "y", "n", "Y", "N"),
    *("22:22", "1:30:00", "0o14", "0x1F", "010", "0b1", "1_000", "1e3", "1.5e+3", "+1", "-0", "1.", ".5"),
    *("3.11", "3", ".inf", "-.INF", ".nan", "~", "null", "NULL", "", "=", "<<"),
    *("2026-11-20", "2001-12-14t21:59:43.10-05:00", "2002-1-1"),
    *("|", ">", "|\n  3.11", "'3.11", '"3.11', '"\\ud800"', '"\\x00"', '"\\u2028"', "@a", "`a`", "%a"),
)
"""Each stands where a Python version is asked for, without quotes or with the wrong ones."""

TAGS = ("!!str", "!!int", "!!binary", "!!set", "!!omap", "!!python/name:os.system", "!local", "!", "!<a>")

KEYS = (
    *("3.11", "yes", "~", "2026-11-20", "<<", "=", "? ", "? [a]", "? {a: b}", "? |\n  a\n", "[a]", "{a: b}"),
    *("&a a", "*a", "!!str a", "null", "1"),
)
"""Each stands where a key is expected."""

WHOLE: dict[str, str | bytes] = {
    "aliases that explode": "a0: &a0 [x, x]\n"
    + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)),
    "alias of itself": "a: &a [*a]\n",
    "alias of nothing": GOOD + "serve: *none\n",
    "merge of an alias": 'a: &a {torch: ["2.13.0"]}\n<<: *a\n',
    "5,000 levels of lists": GOOD + "serve: " + "[" * 5000 + "]" * 5000,
    "5,000 levels of mappings": GOOD + "serve: " + "{a: " * 5000 + "}" * 5000,
    "5,000 levels in one line": GOOD + "serve:\n" + "- " * 5000 + "a\n",
    "5,000 levels by indentation": "".join(" " * level + "a:\n" for level in range(700)),
    "5,000 levels of complex keys": "? " * 5000 + "a\n",
    "5,000 brackets that nobody closes": "[" * 5000,
    "10 MB of text": b"#" * 10_000_000,
    "10 MB of values": b"a: [" + b"a," * 5_000_000 + b"]",
    "as many values as fit": GOOD + "serve: [" + "a," * 130_000 + "]\n",
    "as many keys as fit": "".join(f"a{n}: b\n" for n in range(25_000)),
    "one long line": GOOD + "serve: [" + "a" * 260_000 + "]\n",
    "a long number": GOOD + "serve: [" + "1" * 250_000 + "]\n",
    "a long key": "a" * 260_000 + ": b\n",
    "zeros": b"\0" * 100_000,
    "random bytes": bytes(range(256)) * 400,
    "NUL": GOOD + "# \0\n",
    "UTF-16": GOOD.encode("utf-16"),
    "UTF-32": GOOD.encode("utf-32"),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "a byte order mark inside": GOOD + "serve: [\ufeffa]\n",
    "a surrogate, in bytes": GOOD.encode() + b"# \xed\xa0\x80\n",
    "half a character": GOOD.encode() + b"# \xe2\x80",
    "a line separator": GOOD + "# a\u2028torch: [evil]\n",
    "a paragraph separator": GOOD + "# a\u2029b\n",
    "a next line": GOOD + "# a\x85b\n",
    "an override of direction": GOOD + "# \u202etxet\n",
    "an escape sequence": GOOD + "# \x1b[2J\n",
    "a noncharacter": GOOD + "# \ufffe\n",
    "a tab as indentation": "base:\n\trefresh: a\n",
    "a tab before a value": "schema: 1\n\t\n",
    "a version of YAML": "%YAML 1.2\n---\n" + GOOD,
    "another version of YAML": "%YAML 9.9\n---\n" + GOOD,
    "a handle for tags": "%TAG ! tag:example.org,2000:\n---\n" + GOOD,
    "an unknown directive": "%FOO bar\n---\n" + GOOD,
    "two documents": GOOD + "---\n" + GOOD,
    "a document and its end": GOOD + "...\n" + GOOD,
    "a key given twice": GOOD + 'torch: ["2.14.0"]\n',
    "a key given twice, once quoted": GOOD + "'torch': [\"2.14.0\"]\n",
    "a key given twice, in a flow": GOOD + "env: {A: '1', A: '2'}\n",
    "no value anywhere": "schema:\ntorch:\n",
    "only an empty mapping": "{}",
    "only an empty list": "[]",
    "only a scalar": "schema",
    "only null": "~",
    "only dashes": "---\n---\n",
    "a comment only": "# nothing",
    "flow that mixes": GOOD + "serve: [a: b: c]\n",
    "braces of a template": GOOD + "serve: {{ x }}\n",
}

CORPUS: dict[str, str | bytes] = {
    **{f"python: [{text}]": GOOD.replace('["3.11"]', text) for text in SCALARS},
    **{f"python in a list: {text}": GOOD.replace('["3.11"]', f"\n- {text}") for text in SCALARS},
    **{f"tag {tag}": GOOD.replace('["3.11"]', f'[{tag} "3.11"]') for tag in TAGS},
    **{f"tag {tag} of a list": GOOD.replace('["3.11"]', f'{tag} ["3.11"]') for tag in TAGS},
    **{f"key {key}": f"{GOOD}{key}: x\n" for key in KEYS},
    **{f"key {key} in a section": f"{GOOD}env:\n  {key}: x\n" for key in KEYS},
    **WHOLE,
}


def refusal(path: Path) -> str:
    """What is said of this file."""
    with pytest.raises(UsageError) as caught:
        matrix.load(path)
    return str(caught.value)


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Types and facts are made ready on first use, which is not what is measured."""
    path = tmp_path_factory.mktemp("good") / "matrix.yaml"
    path.write_text(GOOD)
    matrix.load(path)


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_file_is_refused_with_a_place_and_at_once(name: str, tmp_path: Path) -> None:
    """One error, each line of it with line and column, and a remedy; never a traceback, never a long wait."""
    path, body = tmp_path / "matrix.yaml", CORPUS[name]
    path.write_bytes(body.encode() if isinstance(body, str) else body)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        message = refusal(path)
        seconds.append(time.process_time() - start)
    problems = [line for line in message.splitlines() if not re.match(r" *hint: ", line)]
    assert problems
    assert all(re.match(rf"{re.escape(str(path))}:[1-9][0-9]*:[1-9][0-9]*: .", line) for line in problems)
    assert "hint: " in message
    assert len(message) < 20_000
    assert statistics.median(seconds) * 1000 < MILLISECONDS * MARGIN


@pytest.mark.parametrize("name", WHOLE)
def test_a_large_file_is_refused_in_little_memory(name: str, tmp_path: Path) -> None:
    """Nothing is read, built or copied that the answer does not need."""
    path, body = tmp_path / "matrix.yaml", WHOLE[name]
    path.write_bytes(body.encode() if isinstance(body, str) else body)
    tracemalloc.start()
    try:
        refusal(path)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTES * 10**6
    finally:
        tracemalloc.stop()
