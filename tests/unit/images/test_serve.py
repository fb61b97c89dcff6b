"""The entrypoint of an image with vLLM: the words of the matrix reach the server as they are written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline import matrix
from pipeline.compat import server_arguments
from pipeline.model.errors import UsageError
from pipeline.stages import build
from tests.builders import spec

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGES = Path(__file__).parents[3] / "images"
SERVER = ["--", "python", "-m", "vllm.entrypoints.openai.api_server"]
SPEC = spec()
OURS = list(server_arguments.defaults(SPEC.cell, SPEC.gpu_memory))
"""What an image's server is given before the words of the matrix."""
WORDS = (
    '--override={"a": 1, "b": [2, 3]}',
    "*",
    "/*",
    "two  blanks, 'single' and \"double\"",
    "$HOME ${HOME} $(id) `id`",
    r"back\slash \\ \n \" \$",
    "~",
    "#no-comment",
    "a;b|c&d>e<f!{g,h}",
    "ü 漢 🙂",
    " ",
)


@pytest.fixture
def tini(tmp_path: Path) -> Path:
    """A folder with an init that prints what it was asked to start."""
    program = tmp_path / "tini"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    return tmp_path


def starts(tini: Path, setting: str | None, *given: str) -> subprocess.CompletedProcess[str]:
    """The entrypoint with this SERVE_ARGS, and with these arguments to the container."""
    environment = {"PATH": f"{tini}{os.pathsep}{os.environ['PATH']}", "PYTHONSTARTUP": "/nowhere"}
    environment |= {} if setting is None else {"SERVE_ARGS": setting}
    command = [sys.executable, "-I", str(IMAGES / build.SERVE), *given]
    return subprocess.run(command, env=environment, cwd=tini, capture_output=True, text=True, check=False)


def argv(tini: Path, setting: str | None, *given: str) -> list[str]:
    """What the init was asked to start."""
    done = starts(tini, setting, *given)
    assert done.returncode == 0, done.stderr
    words: list[str] = json.loads(done.stdout)
    return words


def setting_of(words: Sequence[str]) -> str:
    """SERVE_ARGS as the image has it, read back from its recipe."""
    recipe = build.recipe_of(replace(SPEC, serve=tuple(words)), IMAGES)
    line = next(line for line in recipe.splitlines() if line.startswith("ENV SERVE_ARGS="))
    return re.sub(r"\\(.)", r"\1", line.removeprefix('ENV SERVE_ARGS="').removesuffix('"'))


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_the_matrix_reaches_the_server_as_it_is_written(word: str, tini: Path) -> None:
    words = ["--seed=0", word, "--last"]
    assert argv(tini, setting_of(words)) == [*SERVER, *OURS, *words]


def test_all_of_them_together_stay_as_many(tini: Path) -> None:
    assert argv(tini, setting_of(WORDS), *WORDS) == [*SERVER, *OURS, *WORDS, *WORDS]


@pytest.mark.parametrize("setting", [None, "", "  "])
def test_without_words_of_the_image_those_of_the_user_are_all(setting: str | None, tini: Path) -> None:
    assert argv(tini, setting, "--model", "/model") == [*SERVER, "--model", "/model"]


def test_what_a_user_sets_is_words_too_and_nothing_in_it_is_run(tini: Path) -> None:
    """As plain words always were; quotes hold a word together; no shell sees any of it."""
    assert argv(tini, "--dtype auto  --port=1\n--seed 0") == [
        *SERVER,
        "--dtype",
        "auto",
        "--port=1",
        "--seed",
        "0",
    ]
    arguments = argv(tini, """--override='{"a": 1}' * $(touch made) `touch made`;touch made""")
    assert arguments[len(SERVER) :] == [
        '--override={"a": 1}',
        "*",
        "$(touch",
        "made)",
        "`touch",
        "made`;touch",
        "made",
    ]
    assert not (tini / "made").exists()


def test_words_that_nobody_can_tell_apart_are_refused_with_the_remedy(tini: Path) -> None:
    done = starts(tini, "--override='{")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("SERVE_ARGS: No closing quotation\nhint: quote its words")


MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
base: {suite: bookworm, refresh: "2026-11-20"}
publish: {repository: registry.example.org/team/vllm}
serve: %s
"""


def test_the_matrix_takes_any_word_that_stands_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text(MATRIX % json.dumps(WORDS, ensure_ascii=False), encoding="utf-8")
    assert matrix.load(tmp_path / "matrix.yaml").specs[0].serve == WORDS


@pytest.mark.parametrize("word", ["two\nlines", "two\rlines", "an end\0", "\x1b[2J", ""])
def test_the_matrix_refuses_a_word_that_would_end_a_line_or_is_none(word: str, tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text(MATRIX % json.dumps([word]))
    with pytest.raises(UsageError, match=r"serve: .* is no argument on one line"):
        matrix.load(tmp_path / "matrix.yaml")
