"""Locks: one wheel for each package, the same bytes everywhere, one CUDA, no stranger."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import matrix
from pipeline.model import Base, Cell, JustifiedRequirement, Lock, Pin, Spec
from pipeline.model.errors import ResolveError, UsageError
from pipeline.stages import lock
from tests.builders import CPU_CELL, CUDA_CELL

ROOT = Path(__file__).parents[3]
SHIPPED = matrix.load(ROOT / "matrix.yaml")
CUDA_CELLS = [spec for spec in SHIPPED.specs if spec.cell.needs_gpu]

CPU, GPU = CPU_CELL, CUDA_CELL


def spec_of(cell: Cell = CPU, **more: object) -> Spec:
    return Spec(cell, Base("bookworm", "2026-11-20"), **more)  # type: ignore[arg-type]


def pin(name: str, version: str = "1.0") -> Pin:
    return Pin(name, version, "a" * 64, f"{name}-{version}-py3-none-any.whl", 10)


@pytest.mark.parametrize("spec", SHIPPED.specs, ids=lambda spec: spec.cell.id)
def test_every_cell_of_the_shipped_matrix_has_a_current_lock(spec: Spec) -> None:
    found = lock.read(spec, ROOT / "locks")
    assert found is not None
    assert found.versions["torch"].partition("+")[0] == spec.cell.torch


@pytest.mark.parametrize("spec", CUDA_CELLS, ids=lambda spec: spec.cell.id)
def test_no_cuda_lock_holds_a_cpu_wheel(spec: Spec) -> None:
    found = lock.read(spec, ROOT / "locks")
    assert found is not None
    assert [p.filename for p in found.pins if "+cpu" in p.version or "%2Bcpu" in p.filename] == []


@pytest.mark.parametrize("spec", CUDA_CELLS, ids=lambda spec: spec.cell.id)
def test_a_cuda_lock_holds_one_cuda_major(spec: Spec) -> None:
    found = lock.read(spec, ROOT / "locks")
    assert found is not None
    assert set(lock.cuda_majors(found)) == {spec.cell.cuda[2:4]}


@pytest.mark.parametrize("path", sorted((ROOT / "locks").glob("*.txt")), ids=lambda path: path.stem)
def test_a_lock_names_no_address_and_one_hash_for_each_package(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|file:|/\w+/\w+\.whl", text)
    names = re.findall(r"^([a-z0-9-]+)==\S+ --hash=sha256:[0-9a-f]{64}$", text, flags=re.MULTILINE)
    assert len(names) == len(set(names)) == text.count("--hash=")


@pytest.mark.parametrize("path", sorted((ROOT / "locks").glob("*.txt")), ids=lambda path: path.stem)
def test_only_pytorch_builds_carry_a_local_version(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"^([a-z0-9-]+)==\S+\+\S+ ", text, flags=re.MULTILINE)) <= {"torch"}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    omit = (JustifiedRequirement("torchvision", "it is a CUDA build"),)
    made = Lock(CPU, (pin("aiohttp"), pin("torch", "2.13.0+cpu")), omitted=omit)
    lock.write(spec_of(omit=omit), made, tmp_path)
    assert lock.read(spec_of(omit=omit), tmp_path) == made


def test_a_lock_made_from_other_inputs_is_out_of_date(tmp_path: Path) -> None:
    lock.write(spec_of(), Lock(CPU, (pin("torch"),)), tmp_path)
    assert lock.read(spec_of(packages=("numpy==2.4.6",)), tmp_path) is None


def test_a_reworded_reason_leaves_a_lock_current(tmp_path: Path) -> None:
    before, after = (spec_of(omit=(JustifiedRequirement("torchvision", why),)) for why in ("one", "another"))
    lock.write(before, Lock(CPU, (pin("torch"),)), tmp_path)
    assert lock.read(after, tmp_path) is not None


def test_the_reasons_stand_in_the_header() -> None:
    omit = (JustifiedRequirement("torchvision", "it is a CUDA build"),)
    text = lock.text_of(spec_of(omit=omit), Lock(CPU, (pin("torch"),)))
    assert "# omitted torchvision: it is a CUDA build" in text


def test_a_strange_line_is_refused_with_file_and_line(tmp_path: Path) -> None:
    path = lock.write(spec_of(), Lock(CPU, (pin("torch"),)), tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + "evil==1.0\n", encoding="utf-8")
    with pytest.raises(UsageError, match=rf"{path.name}:\d+: 'evil==1.0'"):
        lock.read(spec_of(), tmp_path)


def test_comments_do_not_change_the_digest() -> None:
    plain = Lock(CPU, (pin("torch"),))
    assert plain.digest == Lock(CPU, (pin("torch"),), omitted=(JustifiedRequirement("x", "y"),)).digest


def test_a_second_cuda_major_is_refused() -> None:
    mixed = Lock(GPU, (pin("nvidia-cudnn-cu13", "9.1"), pin("nvidia-cudnn-cu12", "9.1")))
    with pytest.raises(ResolveError, match=r"nvidia-cudnn-cu12==9\.1 beside CUDA 13"):
        lock._refuse_mixture(mixed)


def test_a_toolkit_part_of_another_major_is_refused() -> None:
    mixed = Lock(GPU, (pin("nvidia-cuda-runtime", "13.0.96"), pin("cuda-python", "12.6.2")))
    with pytest.raises(ResolveError, match=r"cuda-python==12\.6\.2"):
        lock._refuse_mixture(mixed)


def test_a_cpu_build_in_a_cuda_lock_is_refused() -> None:
    with pytest.raises(ResolveError, match=r"torch==2\.13\.0\+cpu beside CUDA 13"):
        lock._refuse_mixture(Lock(GPU, (pin("torch", "2.13.0+cpu"),)))


def test_another_cuda_than_the_default_index_serves_is_asked_for_by_its_local_version() -> None:
    cell = Cell("2.14.0", "cu126", "3.11", None)
    assert lock._requirements(cell, {"torch": "cu126"}) == ["torch==2.14.0+cu126"]
    assert lock._requirements(cell, {}) == ["torch==2.14.0"]


def test_folders_come_from_the_option_first_and_then_from_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", f"file://{two} {tmp_path / 'absent'} https://example.org/wheels")
    assert lock.folders_of([str(one)]) == (one, two)


# -- a lock that a stranger wrote ----------------------------------------------------------------------


def lines_of(filename: str = "torch-2.13.0-py3-none-any.whl", size: str = "10") -> list[str]:
    """A lock's lines, its header without reasons."""
    pin_line = f"torch==2.13.0 --hash=sha256:{'a' * 64}"
    return [f"# inputs {lock.inputs_of(spec_of())}", f"# {filename} {size}", pin_line]


def written(folder: Path, *lines: str) -> Path:
    path = lock.path_of(CPU, folder)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "filename",
    [
        "/home/you/other.whl",
        "../../other.whl",
        "/home/you/torch-2.13.0-py3-none-any.whl",
        "torch-2.13.0-py3-none-any/../../other.whl",
        "torch-2.13.0-py3-none-..\\other.whl",
        "torch-2.13.0-py3-none-any\x07.whl",
        f"torch-2.13.0-py3-none-{'a' * 300}.whl",
        "torch.whl",
        "torch-2.12.0-py3-none-any.whl",
        "numpy-2.13.0-py3-none-any.whl",
        "torch-2.13.0+cpu-py3-none-any.whl",
    ],
)
def test_a_name_that_is_not_that_of_the_locked_wheel_is_refused_with_its_line(
    tmp_path: Path, filename: str
) -> None:
    """It becomes the name of a file in the cache, which is removed where it is not the locked one."""
    path = written(tmp_path, *lines_of(filename))
    with pytest.raises(UsageError, match=rf"{path.name}:2: '# "):
        lock.read(spec_of(), tmp_path)


@pytest.mark.parametrize("size", ["9" * 5000, "9" * 14, "-1", "1e3", "٣", "²", "0x10", "1_0"])
def test_a_size_that_is_none_is_refused_with_its_line(tmp_path: Path, size: str) -> None:
    path = written(tmp_path, *lines_of(size=size))
    with pytest.raises(UsageError, match=rf"{path.name}:2: .* names no size"):
        lock.read(spec_of(), tmp_path)


@pytest.mark.parametrize("version", ["x", "2.13.0;x", "==2.13.0"])
def test_a_version_that_is_none_is_refused(tmp_path: Path, version: str) -> None:
    text = "\n".join(lines_of()).replace("torch==2.13.0", f"torch=={version}")
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=path.name):
        lock.read(spec_of(), tmp_path)


def test_a_package_that_is_locked_twice_is_refused(tmp_path: Path) -> None:
    head, *body = lines_of()
    path = written(tmp_path, head, *body, *body)
    with pytest.raises(UsageError, match=rf"{path.name}: locks torch twice"):
        lock.read(spec_of(), tmp_path)


def test_a_lock_that_was_made_to_take_long_takes_no_time(tmp_path: Path) -> None:
    """Names whose tags multiply to millions, and thousands of packages."""
    tags = ".".join(f"a{n}" for n in range(20))
    body = [
        text
        for n in range(9000)
        for text in (
            f"# p{n}-1-{tags}-{tags}-{tags}.whl 1",
            f"p{n}==1 --hash=sha256:{'a' * 64}",
        )
    ]
    path = written(tmp_path, *lines_of(), *body)
    started = time.monotonic()
    assert lock.read(spec_of(), tmp_path), path
    assert time.monotonic() - started < 2


def test_a_lock_without_pytorch_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, lines_of()[0])
    with pytest.raises(UsageError, match=rf"{path.name}: locks no torch"):
        lock.read(spec_of(), tmp_path)


def test_a_line_that_no_editor_shows_as_one_is_none(tmp_path: Path) -> None:
    """What a reviewer sees as a comment is a comment."""
    hidden = [line.replace("torch", "numpy") for line in lines_of()[1:]]
    written(tmp_path, *lines_of(), "# a reason\u2028" + "\u2028".join(hidden))
    found = lock.read(spec_of(), tmp_path)
    assert found is not None
    assert list(found.versions) == ["torch"]


def test_a_lock_may_have_the_line_ends_of_another_system(tmp_path: Path) -> None:
    written(tmp_path, *(f"{line}\r" for line in lines_of()), "")
    assert lock.read(spec_of(), tmp_path)


@pytest.mark.parametrize("kind", ["folder", "pipe", "huge", "binary", "link", "dangling"])
def test_what_is_no_text_of_ours_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = lock.path_of(CPU, tmp_path)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        path.touch()
        os.truncate(path, 1 << 40)
    elif kind == "binary":
        path.write_bytes(b"# \xff\xfe")
    else:
        path.symlink_to("/dev/zero" if kind == "link" else tmp_path / "nowhere")
    with pytest.raises(UsageError, match=path.name):
        lock.read(spec_of(), tmp_path)


@given(st.binary(max_size=400))
def test_whatever_stands_in_a_lock_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    head, *rest = (line.encode() for line in lines_of())
    path = lock.path_of(CPU, tmp_path_factory.getbasetemp())
    path.write_bytes(b"\n".join([head, body, *rest]))
    with suppress(UsageError):
        lock.read(spec_of(), path.parent)


@pytest.mark.parametrize("place", ["locks/half", "locks/txt", "locks"])
def test_nothing_is_written_through_a_link_in_a_checkout(tmp_path: Path, place: str) -> None:
    """Neither under the name that the file had before it was renamed, nor under its own, nor elsewhere."""
    outside, checkout = tmp_path / "outside", tmp_path / "checkout"
    (outside / "locks").mkdir(parents=True)
    checkout.mkdir()
    (outside / "file").write_text("precious")
    folder = checkout / "locks"
    if place == "locks":
        folder.symlink_to(outside / "locks")
    else:
        folder.mkdir()
        lock.path_of(CPU, folder).with_suffix(f".{place[6:]}").symlink_to(outside / "file")
    with suppress(UsageError):
        lock.write(spec_of(), Lock(CPU, (pin("torch"),)), folder)
    assert (outside / "file").read_text() == "precious"
    assert list((outside / "locks").iterdir()) == []
