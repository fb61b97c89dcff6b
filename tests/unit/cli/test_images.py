"""The commands about images: how each form is written, and which image of several is meant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.cli import main as command_line
from pipeline.model import Expectations
from pipeline.model.errors import GOOD, MACHINE, USAGE
from pipeline.runner import audits
from tests.crafted import Item, layout_files, stored, tar

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Certificate, Digest

DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An index of two images, of which the one for arm64 has another file."""
    blobs: dict[Digest, bytes] = {}
    listed = []
    for architecture in ("amd64", "arm64"):
        more, manifest = stored([tar(Item(architecture))], architecture=architecture)
        blobs |= more
        listed.append({**manifest, "platform": {"os": "linux", "architecture": architecture}})
    for name, body in layout_files(blobs, listed):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(body)
    return tmp_path


def certify(layout: Path, *words: str) -> int:
    return command_line.main(["certify", str(layout), "--matrix", str(layout / "none"), *words])


@pytest.mark.parametrize(
    ("text", "architecture"),
    [("linux/amd64", "amd64"), ("linux/arm64", "arm64"), ("aarch64", "arm64"), ("x86_64", "amd64")],
)
def test_of_several_images_that_for_the_platform_is_certified(
    layout: Path, text: str, architecture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    certify(layout, "--platform", text, "--json")
    _, manifest = stored([tar(Item(architecture))], architecture=architecture)
    assert json.loads(capsys.readouterr().out)["digest"] == manifest["digest"]


def test_a_platform_that_an_image_is_not_for_is_refused_with_those_that_there_are(
    layout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certify(layout, "--platform", "linux/s390x") == MACHINE
    err = capsys.readouterr().err
    assert "has no image for linux/s390x, but for: linux/amd64, linux/arm64" in err
    assert "hint: name one of these with --platform" in err


@pytest.mark.parametrize("text", ["sm_103", "10.3", "B300", "b300", "sm_103a"])
def test_an_architecture_can_be_asked_of_any_root(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Expectations | None] = []

    def of_folder(root: Path, expected: Expectations | None = None) -> Certificate:
        asked.append(expected)
        return audits_of_folder(root, expected)

    audits_of_folder = audits.of_folder
    monkeypatch.setattr(audits, "of_folder", of_folder)
    assert command_line.main(["certify", "--root", str(tmp_path), "--arch", text]) == GOOD
    assert asked == [Expectations(archs=("sm_103",))]
    assert "passed" in capsys.readouterr().out


def test_what_is_no_architecture_and_no_gpu_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["certify", "--root", str(tmp_path), "--arch", "Hopper9000"]
    assert command_line.main([*words, "--matrix", str(tmp_path / "none")]) == USAGE
    assert "hint: write an architecture, --arch sm_103, or a GPU, --arch B300" in capsys.readouterr().err


def test_an_unpacked_root_has_no_platform(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--root", str(tmp_path), "--platform", "linux/arm64", "--matrix", str(tmp_path / "none")]
    assert command_line.main(["certify", *words]) == USAGE
    assert "--platform is of an image" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["ubuntu", "nope.tar", "127.0.0.1:5000/x", "docker.io/library/ubuntu"])
def test_what_is_neither_a_file_nor_a_reference_is_told_how_each_is_written(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["certify", text, "--matrix", str(tmp_path / "none")]) == USAGE
    what, hint = capsys.readouterr().err.splitlines()
    assert what == (
        f"error: '{text}' is no file or folder here, and no reference to an image: "
        "it names neither a tag nor a digest"
    )
    assert all(form in hint for form in ("host/path:tag", "host/path@sha256:", "engine:NAME", "OCI layout"))


SLIPS = [
    (f"tagproof/vllm@{DIGEST}", "'tagproof' is no host", "write host[:port]/path@sha256:"),
    ("a.org/x@sha256:abc", "'sha256:abc' is no sha256 digest", "all 64 hex digits"),
    ("a.org/x:cpu", "names no digest", "plan --json` has the digests"),
]


@pytest.mark.parametrize(
    ("command", "text", "what", "hint"),
    [("gate", *slip) for slip in SLIPS]
    + [(command, *slip) for command in ("repair", "explain") for slip in SLIPS[:2]],
)
def test_what_is_wrong_with_a_reference_has_its_own_remedy(
    command: str, text: str, what: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main([command, text]) == USAGE
    err = capsys.readouterr().err
    assert what in err.splitlines()[0]
    assert hint in err.splitlines()[1]
