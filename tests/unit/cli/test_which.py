"""``which``: a line for each image, and the exit code of what it says."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pipeline.cli import main as command_line
from pipeline.model.errors import GOOD, MACHINE, REFUSED, USAGE
from tests.crafted import Item, layout, layout_files, stored, tar
from tests.fuzz.answering import hosts_that_answer, http
from tests.unit.stages.identify.crafted_stacks import DEBIAN, python, torch, vllm

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Digest


def which(*words: object) -> int:
    return command_line.main(["which", *map(str, words), "--matrix", "no-matrix.yaml"])


def stack(place: Path, *more: Item, labels: dict[str, str] | None = None) -> Path:
    """An OCI layout of an image with Python and these files."""
    return layout(place, [tar(DEBIAN, python(), *more)], labels=labels or {})


def newer(place: Path, **more: dict[str, str]) -> Path:
    return stack(place, *torch(), vllm(), **more)


def older(place: Path) -> Path:
    return stack(place, *torch(version="2.9.0+cu128", cuda="12.8"))


def test_an_image_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert which(newer(tmp_path)) == GOOD
    _, row = capsys.readouterr().out.splitlines()
    assert row.split()[:-1] == [
        *("0.26.0", "2.11.0+cu130", "13.0", "3.11", "linux/amd64"),
        *("8.0", "8.6", "8.9", "9.0", "12.0", "12.1"),
        *("≥", "580", "Debian", "GNU/Linux", "12", "(bookworm)", "files"),
    ]


def test_a_root_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for item in (python("usr"), *torch("usr")):
        (tmp_path / item.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / item.path).write_bytes(item.content)
    assert which("--root", tmp_path) == GOOD
    assert "2.11.0+cu130  13.0  3.11" in capsys.readouterr().out


def test_a_folder_that_is_no_layout_is_a_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for item in (python(".venv"), *torch(".venv")):
        (tmp_path / item.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / item.path).write_bytes(item.content)
    assert which(tmp_path / ".venv") == GOOD
    assert "2.11.0+cu130  13.0  3.11" in capsys.readouterr().out


def test_a_registry_that_wants_a_login_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    with hosts_that_answer(http(401, b"", WWW_Authenticate='Basic realm="x"')):
        assert which("127.0.0.1:50995/private/vllm:1") == MACHINE
    assert "docker login 127.0.0.1:50995" in capsys.readouterr().err


def test_a_label_that_is_not_so_is_named_and_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert which(newer(tmp_path, labels={"tagproof.cuda": "cu128"})) == REFUSED
    assert "not so: label tagproof.cuda says CUDA 12.8, inside is 13.0" in capsys.readouterr().out


def test_labels_alone_are_marked_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert which(newer(tmp_path, labels={"tagproof.cuda": "cu128"}), "--labels") == GOOD
    out = capsys.readouterr().out
    assert "12.8" in out
    assert "labels alone" in out
    assert "nothing of this was looked for inside" in out


def test_an_image_without_any_of_the_stack_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert which(stack(tmp_path / "python")) == GOOD
    assert "neither PyTorch, vLLM nor CUDA is inside" in capsys.readouterr().out
    assert which(layout(tmp_path / "scratch", [tar(Item("server"))])) == GOOD
    assert "neither Python, PyTorch, vLLM nor CUDA is inside" in capsys.readouterr().out


def test_of_several_platforms_the_one_that_is_asked_for_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blobs: dict[Digest, bytes] = {}
    listed = []
    for architecture, version in (("amd64", "2.11.0+cu130"), ("arm64", "2.12.0+cu130")):
        more, manifest = stored([tar(*torch(version=version))], architecture=architecture)
        blobs |= more
        listed.append({**manifest, "platform": {"os": "linux", "architecture": architecture}})
    for name, body in layout_files(blobs, listed):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(body)
    assert which(tmp_path, "--platform", "linux/arm64", "--json") == GOOD
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert (image["torch"], image["platform"]) == ("2.12.0+cu130", "linux/arm64")


def test_a_damaged_archive_is_an_error_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "image.tar").write_bytes(b"\x1f\x8b damaged")
    assert which(tmp_path / "image.tar") == MACHINE
    assert "image.tar" in capsys.readouterr().err


# -- a fleet ------------------------------------------------------------------------------------------


def test_a_fleet_tells_the_odd_one_out_and_the_driver_of_all_hosts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [older(tmp_path / "a"), older(tmp_path / "b"), newer(tmp_path / "c")]
    assert which(*names) == REFUSED
    out = capsys.readouterr().out
    assert f"every host needs driver 580 or newer, for {tmp_path}/c" in out
    assert "broken: CUDA is 12 in 2 images, but\n    13: " in out
    assert "differs: torch is 2.9.0 in 2 images, but" in out


def test_a_list_is_read_from_a_file_or_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"# a fleet\n{newer(tmp_path / 'a')}  # the first\n\n{newer(tmp_path / 'b')}\n"
    (tmp_path / "list").write_text(text)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert which("--file", tmp_path / "list") == which("--file", "-") == GOOD
    assert capsys.readouterr().out.count("one stack: no image is unlike the others") == 2


def test_one_that_cannot_be_read_hides_none_of_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "image.tar").write_bytes(b"damaged")
    assert which(newer(tmp_path / "a"), tmp_path / "image.tar", "no-image") == MACHINE
    out = capsys.readouterr().out
    assert "2.11.0+cu130" in out
    assert f"could not be read:\n  {tmp_path}/image.tar: " in out
    assert "  no-image: " in out
    assert "    hint: " in out


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("a:b", "--root", "/"),
        ("--root", "/", "--labels"),
        ("--file", "/no/list"),
        ("--file", "/dev/null"),
    ],
)
def test_what_makes_no_question_is_refused(words: tuple[str, ...]) -> None:
    assert which(*words) == USAGE


def test_a_name_of_docker_hub_is_asked_for_with_its_host(capsys: pytest.CaptureFixture[str]) -> None:
    assert which("vllm/vllm-openai:v0.11.0") == USAGE
    assert "docker.io/… for Docker Hub" in capsys.readouterr().err


@pytest.mark.parametrize("heavy", ["pipeline.runner", "pipeline.matrix", "httpx", "cryptography", "numpy"])
def test_a_root_is_told_without_what_only_registries_need(heavy: str, tmp_path: Path) -> None:
    """So it answers in a third of a second of the processor's time."""
    program = (
        f"import sys; from pipeline.cli import main; main.main(['which', '--root', {str(tmp_path)!r}]);"
        f"sys.exit({heavy!r} in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
