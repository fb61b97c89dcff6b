"""What is taken out of the environment, and what a program that we start finds in its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from pipeline.adapters import environ

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SECRETS = (
    *("TAGPROOF_KEY", "GITHUB_TOKEN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "NVIDIA_API_KEY"),
    *("OPENAI_API_KEY", "DOCKER_PASSWORD", "CLIENT_SECRET", "CUDA_TOKEN"),
)
ASKS = """
from pathlib import Path
from pipeline.adapters import environ
before = Path("/proc/self/environ").read_bytes()
value = environ.take("TAGPROOF_KEY")
after = Path("/proc/self/environ").read_bytes()
print(value == "precious", b"precious" in before, b"precious" in after, environ.take("TAGPROOF_KEY"))
"""


def test_what_is_taken_is_gone_from_what_others_may_read_of_this_process() -> None:
    """A process of the same user reads the memory that this one was started with."""
    asked = [sys.executable, "-c", ASKS]
    around = {**os.environ, "TAGPROOF_KEY": "precious", "LAST": "untouched"}
    done = subprocess.run(asked, env=around, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "False", "None"]


def test_what_is_set_and_empty_is_taken_as_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGPROOF_KEY", "")
    assert environ.take("TAGPROOF_KEY") == ""
    assert environ.take("TAGPROOF_KEY") is None


def test_a_program_of_its_own_gets_no_variable_that_was_not_chosen_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "precious")
    kinds = (environ.HOME, environ.NETWORK, environ.MODELS, environ.DEVICES)
    assert not environ.of(*kinds).keys() & set(SECRETS)
    assert "PATH" in environ.of()


def test_what_reaches_the_engine_and_the_network_is_for_those_who_ask_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///there")
    monkeypatch.setenv("https_proxy", "http://user:password@proxy")
    assert not {"DOCKER_HOST", "https_proxy"} & environ.of(environ.DEVICES).keys()
    assert {"DOCKER_HOST", "https_proxy"} <= environ.of(environ.ENGINE, environ.NETWORK).keys()


def test_what_an_environment_under_test_writes_for_a_moment_goes_with_its_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A server of vLLM leaves sockets there; and a compiler's cache of yesterday would be warm."""
    monkeypatch.setenv("TMPDIR", "/tmp")  # noqa: S108 - the user's, which it must not get
    given = environ.under_test(tmp_path / "bin" / "python", tmp_path / "home")
    assert (given["HOME"], given["TMPDIR"]) == (str(tmp_path / "home"),) * 2
