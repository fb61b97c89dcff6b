"""A recipe without its prose: what nobody acts on is left out, and whatever anybody acts on stays."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline.formats.recipes import without_prose

IMAGES = Path(__file__).parents[3] / "images"

LEFT_OUT = {
    "a.sh": [
        ("set -eu\n", "# why\nset -eu\n"),
        ("set -eu\n", "\n\n  # why\nset -eu # because\n"),
        ("a\nb\n", "a # it's so\nb\n"),
        ("a;\nb\n", "a;# why\nb\n"),
    ],
    "Dockerfile": [
        ("FROM x\n", "# why\nFROM x\n\n"),
        ("# syntax=docker/dockerfile:1\nFROM x\n", "# syntax=docker/dockerfile:1\n# why\nFROM x\n"),
        ("RUN a \\\n  && b\n", "RUN a \\\n  # why\n  && b\n"),
    ],
    "a.py": [
        ("x = 1\n", '"""What for."""\n\nx = 1  # why\n'),
        ("def f():\n    return 1\n", 'def f():\n    """What\n\n    for."""\n    # why\n    return 1\n'),
    ],
    "a.packages": [("g++\ntini\n", "# all of them\ng++   # compiles\n\ntini\n")],
}

STAYS = {
    "a.sh": [
        ("#!/bin/sh\na\n", "#!/bin/bash\na\n"),
        ("echo '# one'\n", "echo '# two'\n"),
        ('echo "# one"\n', 'echo "# two"\n'),
        ("echo a#one\n", "echo a#two\n"),
        ("echo ${x#one}\n", "echo ${x#two}\n"),
        ("echo \\#one\n", "echo \\#two\n"),
        ("echo 'a\n# one\n'\n", "echo 'a\n# two\n'\n"),
        ("echo 'a\n\n'\n", "echo 'a\n'\n"),
        ("cat <<EOF\n# one\nEOF\n", "cat <<EOF\n# two\nEOF\n"),
        ("cat <<-'EOF'\n\n\tEOF\n", "cat <<-'EOF'\n\tEOF\n"),
        ("echo a\\\n#one\n", "echo a\\\n#two\n"),
        ("echo \"it's\" '# one'\n", "echo \"it's\" '# two'\n"),
    ],
    "Dockerfile": [
        ("# syntax=one\nFROM x\n", "# syntax=two\nFROM x\n"),
        ("RUN echo '# one'\n", "RUN echo '# two'\n"),
        ("RUN <<EOF\n# one\nEOF\n", "RUN <<EOF\n# two\nEOF\n"),
        ("COPY <<-EOF /x\n\n\tEOF\n", "COPY <<-EOF /x\n\tEOF\n"),
        ("ENV A=b#one\n", "ENV A=b#two\n"),
    ],
    "a.py": [
        ("#!/bin/one\nx = 1\n", "#!/bin/two\nx = 1\n"),
        ('x = "# one"\n', 'x = "# two"\n'),
        ('x = """a\n# one\n"""\n', 'x = """a\n# two\n"""\n'),
        ('x = """a\n\n"""\n', 'x = """a\n"""\n'),
    ],
    "a.packages": [("g++\n", "gcc\n")],
}


def cases(table: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str, str]]:
    return [(name, one, other) for name, pairs in table.items() for one, other in pairs]


@pytest.mark.parametrize(("name", "one", "other"), cases(LEFT_OUT))
def test_prose_is_left_out(name: str, one: str, other: str) -> None:
    assert without_prose(name, one) == without_prose(name, other)


@pytest.mark.parametrize(("name", "one", "other"), cases(STAYS))
def test_whatever_is_acted_on_stays(name: str, one: str, other: str) -> None:
    assert without_prose(name, one) != without_prose(name, other)


WORDS = some.sampled_from(
    ["echo", " ", "\n", "#", "a", "'", '"', "\\", ";", "$x", "# b", "\n# c\n", "<<E", "\nE\n", "\n\n"]
)


@given(some.lists(WORDS, max_size=12).map("".join))
def test_a_script_does_the_same_without_its_prose(script: str) -> None:
    """As the shell itself says: it reads both, and runs neither."""
    bare = without_prose("a.sh", f"{script}\n")
    assert parsed(f"{bare}\n") == parsed(f"{script}\n")


def parsed(script: str) -> tuple[int, str]:
    """Whether the shell takes it, and the commands that it would run, as it traces them."""
    shell = shutil.which("dash") or "sh"
    harmless = "echo() { :; }; a() { :; }; E() { :; }; c() { :; }; set -x\n"
    done = subprocess.run(
        [shell, "-c", f"{harmless}{script}"],
        capture_output=True,
        text=True,
        env={"PATH": "/nowhere"},
        check=False,
    )
    trace = [line for line in done.stderr.splitlines() if line.startswith("+")]
    return done.returncode, "\n".join(trace)


def test_the_shipped_scripts_are_whole_without_their_prose() -> None:
    for path in IMAGES.glob("*.sh"):
        bare = without_prose(path.name, path.read_text("utf-8"))
        assert subprocess.run(["sh", "-n", "-c", bare], check=False).returncode == 0
    for path in IMAGES.glob("*.py"):
        ast.parse(without_prose(path.name, path.read_text("utf-8")))


def test_a_block_that_is_but_a_text_stays_a_block() -> None:
    script = 'class Odd(Exception):\n    """It is odd."""\n\n\ndef f():\n    """Do nothing."""\n'
    assert without_prose("x.py", script) == "class Odd(Exception):\n    pass\ndef f():\n    pass"


def test_a_blank_that_is_part_of_a_word_stays_before_a_comment() -> None:
    assert without_prose("x.sh", "echo a\\  # why") == "echo a\\ "
    assert without_prose("x.sh", "echo a\\\\  # why") == "echo a\\\\"
