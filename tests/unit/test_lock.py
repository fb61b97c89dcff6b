"""Locks: one wheel for each package, the same bytes everywhere, one CUDA, no stranger."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline import lock, matrix
from pipeline.errors import ResolveError, UsageError
from pipeline.nouns import Base, Cell, Lock, Pin, Reasoned, Spec

ROOT = Path(__file__).parents[2]
SHIPPED = matrix.load(ROOT / "matrix.yaml")
CUDA_CELLS = [spec for spec in SHIPPED.specs if spec.cell.needs_gpu]

CPU = Cell("2.13.0", "cpu", "3.11", "0.32.0")
GPU = Cell("2.13.0", "cu130", "3.11", "0.32.0")


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
    omit = (Reasoned("torchvision", "it is a CUDA build"),)
    made = Lock(CPU, (pin("aiohttp"), pin("torch", "2.13.0+cpu")), omitted=omit)
    lock.write(spec_of(omit=omit), made, tmp_path)
    assert lock.read(spec_of(omit=omit), tmp_path) == made


def test_a_lock_made_from_other_inputs_is_out_of_date(tmp_path: Path) -> None:
    lock.write(spec_of(), Lock(CPU, (pin("torch"),)), tmp_path)
    assert lock.read(spec_of(packages=("numpy==2.4.6",)), tmp_path) is None


def test_a_reworded_reason_leaves_a_lock_current(tmp_path: Path) -> None:
    before, after = (spec_of(omit=(Reasoned("torchvision", why),)) for why in ("one", "another"))
    lock.write(before, Lock(CPU, (pin("torch"),)), tmp_path)
    assert lock.read(after, tmp_path) is not None


def test_the_reasons_stand_in_the_header() -> None:
    omit = (Reasoned("torchvision", "it is a CUDA build"),)
    text = lock.text_of(spec_of(omit=omit), Lock(CPU, (pin("torch"),)))
    assert "# omitted torchvision: it is a CUDA build" in text


def test_a_strange_line_is_refused_with_file_and_line(tmp_path: Path) -> None:
    path = lock.write(spec_of(), Lock(CPU, (pin("torch"),)), tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + "evil==1.0\n", encoding="utf-8")
    with pytest.raises(UsageError, match=rf"{path.name}:\d+: 'evil==1.0'"):
        lock.read(spec_of(), tmp_path)


def test_comments_do_not_change_the_digest() -> None:
    plain = Lock(CPU, (pin("torch"),))
    assert plain.digest == Lock(CPU, (pin("torch"),), omitted=(Reasoned("x", "y"),)).digest


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
    assert lock._requirements(cell, "cu130") == ["torch==2.14.0+cu126"]
    assert lock._requirements(cell, "cu126") == ["torch==2.14.0"]


def test_the_wheel_that_the_cell_installs_is_chosen_by_its_tags() -> None:
    tags = list(lock._tags("3.11", "x86_64", "2.36"))
    order = [str(tag) for tag in tags]
    assert order.index("cp311-cp311-manylinux_2_28_x86_64") < order.index("cp311-abi3-manylinux_2_17_x86_64")
    assert "cp311-cp311-manylinux_2_39_x86_64" not in order
    assert "py3-none-any" in order


def test_folders_come_from_the_option_first_and_then_from_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", f"file://{two} {tmp_path / 'absent'} https://example.org/wheels")
    assert lock.folders_of([str(one)]) == (one, two)
