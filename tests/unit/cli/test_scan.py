"""``scan`` as it is typed, of an unpacked root."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cli.main import main
from pipeline.model.errors import GOOD, REFUSED, USAGE

if TYPE_CHECKING:
    from pathlib import Path

STATUS = """\
Package: libssl3
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 3.0.15-1~deb12u1
"""
METADATA = "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\n"
HIGH = {"database_specific": {"severity": "HIGH"}}
LOW = {"database_specific": {"severity": "LOW"}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Debian 12 with one package, and a PyTorch."""
    files = {
        "etc/os-release": "ID=debian\nVERSION_ID=12\n",
        "var/lib/dpkg/status": STATUS,
        "opt/venv/lib/python3.11/site-packages/torch-2.13.0+cpu.dist-info/METADATA": METADATA,
    }
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    return tmp_path / "root"


def osv(folder: Path, *advisories: dict[str, Any]) -> str:
    """A folder of advisories."""
    (folder / "osv").mkdir()
    for number, advisory in enumerate(advisories):
        whole = {"id": f"A-{number}", "modified": "2026-11-01T00:00:00Z", **advisory}
        (folder / "osv" / f"{number}.json").write_text(json.dumps(whole))
    return str(folder / "osv")


def about(ecosystem: str, name: str, *events: dict[str, str], **more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, *events]}]
    return {"affected": [{"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges}], **more}


def test_what_is_weak_is_listed_with_its_remedy_and_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = osv(
        tmp_path,
        about("Debian:12", "openssl", {"fixed": "3.0.15-1~deb12u2"}, aliases=["CVE-2026-1"], **LOW),
        about("PyPI", "torch", {"fixed": "2.13.1"}, summary="it leaks", **HIGH),
        about("PyPI", "torch", {"fixed": "2.13.0"}),
    )
    assert main(["scan", "--root", str(root), "--advisories", place]) == REFUSED
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["high", "A-1", "torch", "2.13.0+cpu", "2.13.1", "it", "leaks", "-"],
        ["low", "CVE-2026-1", "libssl3", "3.0.15-1~deb12u1", "3.0.15-1~deb12u2", "-", "-"],
    ]
    said = "2 weaknesses (1 high, 1 low) in 2 packages, 2 of them refuse it, by advisories until 2026-11-01"
    assert lines[3].endswith(said)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], REFUSED),
        (["--severity", "medium"], GOOD),
        (["--fixable"], GOOD),
    ],
    ids=str,
)
def test_what_is_refused_is_for_whoever_asks_to_say(
    words: list[str], code: int, root: Path, tmp_path: Path
) -> None:
    place = osv(tmp_path, about("PyPI", "torch", **LOW))
    assert main(["scan", "--root", str(root), "--advisories", place, *words]) == code


def test_what_nobody_has_rated_is_refused_whatever_is_asked(root: Path, tmp_path: Path) -> None:
    place = osv(tmp_path, about("PyPI", "torch"))
    assert main(["scan", "--root", str(root), "--advisories", place, "--severity", "critical"]) == REFUSED


def test_programs_get_all_of_it(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = osv(tmp_path, about("PyPI", "torch", **HIGH), {"affected": 3, "x": "PyPI"})
    assert main(["scan", "--root", str(root), "--advisories", place, "--json"]) == REFUSED
    scan = json.loads(capsys.readouterr().out)
    (exposure,) = scan["exposures"]
    assert (exposure["id"], exposure["threat"], exposure["package"]["name"]) == ("A-0", "high", "torch")
    assert list(scan["unread"].values()) == ["holds no advisory in OSV's format"]
    assert scan["source"].startswith("sha256:")


def test_an_image_that_nothing_is_known_of_is_good(root: Path, tmp_path: Path) -> None:
    place = osv(tmp_path, about("PyPI", "numpy"))
    assert main(["scan", "--root", str(root), "--advisories", place]) == GOOD


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--root", "/", "an-image"],
        ["--root", "/", "--platform", "linux/amd64"],
        ["--root", "/", "--attach"],
        ["--root", "/", "--candidate"],
        ["--root", "/", "--vex", "vex.json"],
        ["--root", "/", "--result", "result.json"],
    ],
    ids=str,
)
def test_one_thing_is_scanned_in_one_way(words: list[str], tmp_path: Path) -> None:
    assert main(["scan", "--advisories", osv(tmp_path), *words]) == USAGE


def test_something_says_what_is_known(root: Path) -> None:
    assert main(["scan", "--root", str(root)]) == USAGE


def test_what_another_scanner_found_is_judged_by_the_same_terms(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {
        "bomFormat": "CycloneDX",
        "metadata": {"timestamp": "2026-11-01T00:00:00Z"},
        "vulnerabilities": [{"id": "CVE-2026-1", "ratings": [{"severity": "low"}]}],
    }
    file = tmp_path / "result.json"
    file.write_text(json.dumps(result))
    words = ["scan", "--root", str(root), "--result", str(file)]
    assert main(words) == REFUSED
    assert main([*words, "--severity", "high"]) == GOOD
    assert "less than high" in capsys.readouterr().out
    file.write_text("{}")
    assert main(words) == USAGE


def test_packages_that_no_advisory_is_of_are_said(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = osv(tmp_path, about("PyPI", "numpy"))
    main(["scan", "--root", str(root), "--advisories", place])
    assert "not looked for: Debian:12, of which there is no advisory" in capsys.readouterr().out
