"""A job of CI: no key is made for it, and what would need one says so before any work."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline import matrix
from pipeline.adapters import signing_keys
from pipeline.cli import main as command_line
from pipeline.model.errors import USAGE, UsageError
from pipeline.runner.doctor import keys
from pipeline.runner.services import Services, Settings

ROOT = Path(__file__).parents[3]
KEY = generate_private_key(SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this user's key; nothing is in it yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CI", "true")
    return tmp_path / "config"


@pytest.mark.parametrize(("value", "makes"), [("true", False), ("1", False), ("", True), ("false", True)])
def test_no_key_is_made_for_a_job_of_ci(
    value: str, makes: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be gone with the machine, and what it signed would count nowhere."""
    monkeypatch.setenv("CI", value)
    said = "no signing key: TAGPROOF_KEY is not set"
    with nullcontext() if makes else pytest.raises(UsageError, match=said):
        signing_keys.load()
    assert (home.exists(), signing_keys.own_public() is not None) == (makes, makes)


def test_a_key_that_is_there_or_given_signs_in_ci_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI")
    made = signing_keys.load()
    monkeypatch.setenv("CI", "true")
    assert signing_keys.load().private_numbers() == made.private_numbers()
    assert signing_keys.load(pem=PEM).private_numbers() == KEY.private_numbers()
    assert home.exists()


@pytest.mark.parametrize(
    "words",
    [["verify", "--python", sys.executable], ["verify", "--url", "http://127.0.0.1:9"], ["policy", "export"]],
)
def test_what_needs_a_key_says_so_before_any_work(
    words: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is tried, nothing is asked, and nothing is written."""
    assert command_line.main([*words, "--matrix", str(ROOT / "matrix.yaml")]) == USAGE
    out, err = capsys.readouterr()
    assert (out, "key" in err.splitlines()[0], "hint: " in err) == ("", True, True)
    assert not home.exists()


def test_the_page_on_this_host_says_that_none_is_made(home: Path) -> None:
    aspect = keys.key(Services(Settings(matrix.load(ROOT / "matrix.yaml"))))
    assert (aspect.standing, aspect.text) == ("limited", "none is here, and none is made where CI is set")
    assert not home.exists()
