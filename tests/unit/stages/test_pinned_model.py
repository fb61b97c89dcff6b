"""The model's hashes beside the locks: written once, read by all, compared by who makes a proof."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pipeline.model.errors import UsageError
from pipeline.stages import pinned_model
from pipeline.stages.pinned_model import PinnedModel
from pipeline.suite.model import digest_of, hashes_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder of a model."""
    folder = tmp_path / "model"
    (folder / "more").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "more" / "weights 1.safetensors").write_bytes(b"\0")
    return folder


@pytest.fixture
def locks(tmp_path: Path, model: Path) -> Path:
    """The folder of the locks, with this model pinned."""
    pinned_model.write(PinnedModel("a/b", hashes_of(model)), tmp_path / "locks")
    return tmp_path / "locks"


def test_a_pinned_model_has_the_digest_that_records_of_before_name(model: Path, locks: Path) -> None:
    """So nothing that was proven has to be proven again."""
    pinned = pinned_model.read(locks)
    assert pinned is not None
    assert (pinned.name, pinned.digest) == ("a/b", digest_of(model))


def test_anyone_can_check_it_with_sha256sum(model: Path, locks: Path) -> None:
    check = ["sha256sum", "--check", "--strict", str(pinned_model.path_of(locks))]
    assert subprocess.run(check, cwd=model, capture_output=True, check=False).returncode == 0
    (model / "config.json").write_text("{ }")
    assert subprocess.run(check, cwd=model, capture_output=True, check=False).returncode == 1


def test_nothing_is_pinned_where_there_is_no_file(tmp_path: Path) -> None:
    assert pinned_model.read(tmp_path) is None


def test_files_that_are_pinned_are_taken(model: Path, locks: Path) -> None:
    pinned = pinned_model.read(locks)
    assert pinned
    pinned_model.refuse_other(pinned, hashes_of(model), locks)


def test_files_that_differ_are_named(model: Path, locks: Path) -> None:
    (model / "config.json").write_text("{ }")
    (model / "more" / "weights 1.safetensors").rename(model / "new")
    pinned = pinned_model.read(locks)
    assert pinned
    with pytest.raises(UsageError) as refused:
        pinned_model.refuse_other(pinned, hashes_of(model), pinned_model.path_of(locks))
    assert refused.value.what == (
        f"a/b: its files here are not those of {locks}/model.sha256: "
        "more/weights 1.safetensors is not there, config.json is another, new is not pinned"
    )
    assert "python -m pipeline lock" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("# model a\n" + "0" * 63 + "  config.json\n", "model.sha256:2: "),
        ("# model a\n" + f"{'0' * 64}  x\n" * 2, "model.sha256:3: "),
        (f"{'0' * 64}  x\n", "it names no model and its files"),
        ("# model a\n", "it names no model and its files"),
        ("# model a\n# model b\n" + f"{'0' * 64}  x\n", "it names no model and its files"),
        ("# model \udcff", "is no UTF-8 at byte 8"),
    ],
    ids=["short hash", "twice", "no name", "no file", "two names", "no text"],
)
def test_a_file_that_we_did_not_write_is_refused_with_its_line(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "model.sha256").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as refused:
        pinned_model.read(tmp_path)
    assert what in refused.value.what


def test_a_file_whose_name_no_line_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a file is called"):
        pinned_model.write(PinnedModel("a", {"x\ny": "0" * 64}), tmp_path / "locks")
