"""Exports of advisories: folders and zips, what is read of them, and what is none."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters import advisories
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def body(name: str, ecosystem: str, modified: str = "2026-11-01T00:00:00Z") -> bytes:
    affected = [{"package": {"ecosystem": ecosystem, "name": "a"}, "versions": ["1"]}]
    return json.dumps({"id": name, "modified": modified, "affected": affected}).encode()


FILES = {
    "A.json": body("A", "PyPI"),
    "B.json": body("B", "Debian:12", "2026-11-09T00:00:00Z"),
    "C.json": body("C", "npm", "2027-01-01T00:00:00Z"),
}


def folder(place: Path, files: dict[str, bytes]) -> Path:
    place.mkdir()
    for name, data in files.items():
        (place / name).write_bytes(data)
    return place


def test_those_of_the_ecosystems_are_read_with_the_newest_ones_time(tmp_path: Path) -> None:
    export = advisories.read([folder(tmp_path / "osv", FILES)], {"PyPI", "Debian:12"})
    assert [advisory.id for advisory in export.advisories] == ["A", "B"]
    assert export.modified == "2026-11-09T00:00:00+00:00"


def test_a_release_for_longer_and_a_distribution_without_one_are_of_it(tmp_path: Path) -> None:
    files = {"A.json": body("A", "Ubuntu:22.04:LTS"), "B.json": body("B", "Ubuntu")}
    export = advisories.read([folder(tmp_path / "osv", files)], {"Ubuntu:22.04"})
    assert len(export.advisories) == len(files)


def test_a_zip_is_read_as_the_folder_of_its_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, data in reversed(FILES.items()):
            archive.writestr(name, data)
    plain = advisories.read([folder(tmp_path / "osv", FILES)], {"PyPI"})
    assert advisories.read([tmp_path / "all.zip"], {"PyPI"}) == plain


def test_another_advisory_is_another_export_though_it_is_of_no_package_here(tmp_path: Path) -> None:
    first = advisories.read([folder(tmp_path / "one", FILES)], {"PyPI"})
    more = {**FILES, "D.json": body("D", "npm")}
    assert advisories.read([folder(tmp_path / "two", more)], {"PyPI"}).digest != first.digest


def test_a_file_that_holds_none_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    place = folder(tmp_path / "osv", {**FILES, "Z.json": b'{"ecosystem": "PyPI"}'})
    export = advisories.read([place], {"PyPI"})
    assert export.unread == {f"{place}: Z.json": "holds no advisory in OSV's format"}
    assert [advisory.id for advisory in export.advisories] == ["A"]


@pytest.mark.parametrize("name", ["nowhere", "empty", "text.zip"])
def test_where_there_is_nothing_to_read_it_is_said(name: str, tmp_path: Path) -> None:
    """No advisories at all would look like no weakness at all."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(UsageError, match=name):
        advisories.read([tmp_path / name], {"PyPI"})
