"""What git says of the checkout that something was built of."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters import checkout
from pipeline.model import Revision

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("git")


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", folder, *identity, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout of one commit, with a folder in it."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "matrix.yaml").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "x")
    return tmp_path


def test_a_clean_checkout_is_its_commit(repository: Path) -> None:
    """Asked of any folder in it."""
    commit = git(repository, "rev-parse", "HEAD")
    assert checkout.revision(repository / "images") == Revision(commit, is_dirty=False)


@pytest.mark.parametrize("name", ["matrix.yaml", "new"])
def test_a_file_that_its_commit_has_not_makes_it_dirty(repository: Path, name: str) -> None:
    (repository / "images" / name).write_text("2")
    found = checkout.revision(repository)
    assert found
    assert found.is_dirty


def test_what_is_no_checkout_has_no_revision(tmp_path: Path) -> None:
    """Nor has one without a commit, nor one that is not there."""
    assert checkout.revision(tmp_path / "absent") is None
    git(tmp_path, "init", "--quiet")
    assert checkout.revision(tmp_path) is None


def test_nothing_that_the_checkout_names_is_run(repository: Path) -> None:
    """Whoever unpacks a stranger's checkout has not asked for its programs."""
    mark = repository / "ran"
    program = repository / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(program))
    assert checkout.revision(repository)
    assert not mark.exists()


def test_without_git_there_is_no_revision(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert checkout.revision(repository) is None
