"""``lock``: a cell that cannot be locked does not keep the others from it, and both are in the JSON."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import pytest

from pipeline.cli import main as command_line
from pipeline.model import Cooled, JustifiedRequirement, Lock, Pin, Spec
from pipeline.model.errors import GOOD, MACHINE, ResolveError
from pipeline.suite.model import digest_of

if TYPE_CHECKING:
    from pathlib import Path

MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
vllm: ["0.32.0", "0.31.0"]
base: {suite: bookworm, refresh: "2026-11-20"}
publish: {repository: registry.example.org/team/vllm}
"""
FIRST, SECOND = (f"vllm{release}-torch2.13.0-cpu-py3.11" for release in ("0.32.0", "0.31.0"))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two cells; the index has no wheels for the first of them."""

    def make(spec: Spec, **_: object) -> Lock:
        if spec.cell.id == FIRST:
            raise ResolveError("no wheel fits", hint="take another version")
        return Lock(
            spec.cell, (Pin("torch", "2.13.0", "0" * 64, "torch-2.13.0-py3-none-any.whl", 857_000_000),)
        )

    monkeypatch.setattr("pipeline.stages.lock.make", make)
    (tmp_path / "matrix.yaml").write_text(MATRIX)
    return tmp_path


def lock(checkout: Path, *words: str) -> int:
    return command_line.main(["lock", *words, "--matrix", str(checkout / "matrix.yaml")])


def test_after_a_cell_that_cannot_be_locked_the_others_are(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lock(checkout) == MACHINE
    assert [path.stem for path in (checkout / "locks").iterdir()] == [SECOND]
    out, err = capsys.readouterr()
    assert out == f"{FIRST}: no lock\n{SECOND}: 1 wheel, 857 MB\n"
    assert "no wheel fits\n" in err
    assert f"python -m pipeline lock {FIRST}" in err


def test_json_has_a_row_for_each_cell(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its lock, or with the reason why there is none."""
    lock(checkout, "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["schema"] == 1
    first, second = printed["cells"]
    assert (first["cell"]["id"], first["lock"]) == (FIRST, None)
    assert first["reasons"] == [{"code": "machine", "text": "no wheel fits", "hint": "take another version"}]
    assert (second["wheels"], second["bytes"], second["reasons"]) == (1, 857_000_000, [])
    assert second["lock"].startswith("sha256:")


def test_what_a_cooldown_let_through_is_said(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was younger, what has no day, and which exception has outlived its reason; in JSON too."""
    young = (JustifiedRequirement("six==2.0 (2 days old)", "a fix"),)
    cooled = Cooled(
        7, date(2026, 11, 21), young, (JustifiedRequirement("torch==2.13.0", "a folder"),), ("a*",)
    )
    pins = (Pin("torch", "2.13.0", "0" * 64, "torch-2.13.0-py3-none-any.whl", 9),)
    monkeypatch.setattr("pipeline.stages.lock.make", lambda spec, **_: Lock(spec.cell, pins, cooled=cooled))
    assert lock(checkout, SECOND) == GOOD
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  uploaded before 2026-11-21, UTC",
        "  but for six==2.0 (2 days old): a fix",
        "  without a day: torch==2.13.0: a folder",
        "  not needed: the exception of a* under `lock:`",
    ]
    lock(checkout, SECOND, "--json")
    [row] = json.loads(capsys.readouterr().out)["cells"]
    assert (row["cooldown"]["before"], row["cooldown"]["unneeded"]) == ("2026-11-21", ["a*"])


def test_a_lock_that_nobody_can_read_is_replaced(checkout: Path) -> None:
    """Its reader's hint is this very command."""
    (checkout / "locks").mkdir()
    file = checkout / "locks" / f"{SECOND}.txt"
    file.write_text("torch==2.13.0\n")
    assert lock(checkout, SECOND) == GOOD
    assert "--hash=sha256:" in file.read_text()


def test_the_model_that_images_are_proven_with_is_pinned_beside_the_locks(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "model").mkdir()
    (checkout / "model" / "config.json").write_text("{}")
    (checkout / "model" / "model.safetensors").touch()
    (checkout / "matrix.yaml").write_text(MATRIX + "verify: {model: model}\n")
    assert lock(checkout, SECOND) == GOOD
    digest = digest_of(checkout / "model")
    assert capsys.readouterr().out.endswith(f"\nmodel: 2 files, {digest}\n")
    assert "  config.json\n" in (checkout / "locks" / "model.sha256").read_text()
    lock(checkout, SECOND, "--json")
    assert json.loads(capsys.readouterr().out)["model"] == digest
