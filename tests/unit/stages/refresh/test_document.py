"""The file of facts, the journal of a run, and its summary."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.report import refreshed
from pipeline.stages.refresh import document
from pipeline.stages.refresh.journal import Journal
from pipeline.stages.refresh.reading import Reading
from tests.unit.stages.refresh.artefacts import TORCH, VLLM

if TYPE_CHECKING:
    import pytest


def test_rows_stand_one_on_a_line_in_the_order_of_their_versions(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    document.write(
        path, [VLLM, replace(TORCH, version="2.9.0"), replace(TORCH, version="2.10.0")], "2026-11-24"
    )
    rows = path.read_text().splitlines()[1:-1]
    found = [json.loads(row.rstrip(",")) for row in rows]
    assert [(row["package"], row["version"]) for row in found] == [
        ("torch", "2.9.0"), ("torch", "2.10.0"), ("vllm", "0.32.0"),
    ]  # fmt: skip


def test_the_same_rows_leave_the_file_alone_whatever_the_day(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    assert document.write(path, [TORCH, VLLM], "2026-11-24")
    before = path.read_bytes()
    assert not document.write(path, [VLLM, TORCH], "2026-12-01")
    assert path.read_bytes() == before


def test_the_file_that_is_shipped_is_as_this_program_writes_it() -> None:
    """Nobody has edited it, and a refresh with nothing new leaves every byte."""
    path = Path(document.__file__).parents[2] / "compat" / "facts.json"
    day = json.loads(path.read_text("utf-8"))["read"]
    assert document.text(document.in_order(document.read(path)), day) == path.read_text("utf-8")


def test_a_reading_survives_the_journal(tmp_path: Path) -> None:
    reading, journal = Reading.of(TORCH), Journal(tmp_path)
    journal.put(TORCH.sha256, reading)
    assert journal.get(TORCH.sha256) == reading
    assert journal.get(VLLM.sha256) is None


def test_a_torn_page_of_the_journal_is_read_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.put(TORCH.sha256, Reading.of(TORCH))
    (file,) = tmp_path.rglob("*.json")
    file.write_text(file.read_text()[:50])
    assert journal.get(TORCH.sha256) is None


def test_what_other_code_has_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal's key names the code: a reader that was mended must not find its old mistakes."""
    journal = Journal(tmp_path)
    journal.put(TORCH.sha256, Reading.of(TORCH))
    monkeypatch.setattr("pipeline.stages.refresh.journal.readers_digest", lambda: "other")
    assert journal.get(TORCH.sha256) is None


def test_the_summary_says_what_is_new_different_and_decided_otherwise() -> None:
    lying = replace(VLLM, version="0.33.0", glibc="2.5", glibc_seen="2.29")
    summary = refreshed.summary(
        [TORCH, VLLM],
        [replace(TORCH, yanked=True), VLLM, lying],
        [("vllm0.33.0-torch2.13.0-cu130-py3.11", "unknown", "ok")],
    )
    text = refreshed.markdown(summary)
    assert "## New: vllm\n" in text
    assert "| 0.33.0 | x86_64 | 2026-07-08 | 13.0 | 2.13.0 | 3.10 to 3.11 | 80 90 | 2.5 |" in text
    assert "needs glibc 2.29, whatever its tag says" in text
    assert "- torch 2.13.0 x86_64: yanked False → True" in text
    assert "| vllm0.33.0-torch2.13.0-cu130-py3.11 | unknown | ok |" in text
    assert "vllm 0.32.0" not in text


def test_a_summary_of_nothing_is_one_sentence() -> None:
    assert refreshed.markdown(refreshed.summary([TORCH], [TORCH])) == "The index has nothing new.\n"


def test_the_summary_for_programs_has_a_schema_number() -> None:
    summary = refreshed.as_json(refreshed.summary([TORCH], [replace(TORCH, cuda="13.1"), VLLM]))
    assert summary["schema"] == 1
    assert [row["package"] for row in summary["new"]] == ["vllm"]
    assert summary["different"][0]["fields"] == {"cuda": {"before": "13.0", "now": "13.1"}}
    json.dumps(summary)
