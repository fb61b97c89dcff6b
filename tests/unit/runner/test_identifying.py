"""What an image in a registry is: by the certificate beside it where its signer counts, else by its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline import matrix
from pipeline.adapters import signing_keys
from pipeline.model import DriverFloor, PackageSize, Repository, Sizes
from pipeline.runner import identifying
from pipeline.runner.trusting import Trust
from pipeline.stages import attest
from tests import builders
from tests.memory_registry import MemoryRegistry, memory_registry
from tests.system.commands.tiny_images import push

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import ImageRef

MATRIX = Path(__file__).parents[3] / "matrix.yaml"
CELL = "vllm0.32.0-torch2.13.0-cu130-py3.11"
SITE = "usr/lib/python3.11/site-packages"
FILES = {f"{SITE}/torch/version.py": b"__version__ = '2.9.0+cu128'\ncuda = '12.8'\n"}
LABELS = {"tagproof.cell": CELL, "tagproof.python": "3.11"}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with memory_registry() as registry:
        yield registry


def certified(registry: MemoryRegistry, labels: dict[str, str]) -> ImageRef:
    """An image whose files hold an older PyTorch than the certificate beside it says: to tell them apart."""
    ref = push(Repository(registry.host, "a"), FILES, labels, "one")
    packages = (PackageSize(name="torch", version="2.13.0", installed=1),)
    certificate = builders.certificate(
        name=str(ref),
        digest=str(ref.digest),
        cuda="13.0",
        driver=DriverFloor(version="580", reason="CUDA 13.0 inside"),
        sizes=Sizes(compressed=1, installed=1, packages=packages),
    )
    bundle = attest.certificates.sign(certificate, signing_keys.load())
    attest.attach(registry.at("a"), ref, bundle)
    return ref


def trust() -> Trust:
    return Trust(matrix.load(MATRIX))


def test_a_certificate_by_a_key_that_counts_is_believed(registry: MemoryRegistry) -> None:
    ref = certified(registry, LABELS)
    seen = identifying.of_image(f"{ref.repository}:one", trust)
    assert (seen.seen_in, seen.torch, seen.cuda, seen.python) == ("certificate", "2.13.0", "13.0", "3.11")
    assert (seen.digest, seen.base) == (str(ref.digest), "bookworm")


def test_one_by_another_key_is_not_and_the_files_are_read(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = certified(registry, LABELS)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another"))
    signing_keys.load()
    seen = identifying.of_image(str(ref), trust)
    assert (seen.seen_in, seen.torch, seen.cuda) == ("files", "2.9.0+cu128", "12.8")


def test_a_strangers_image_asks_no_matrix(registry: MemoryRegistry) -> None:
    def nobody() -> Trust:
        raise AssertionError("the matrix was asked")

    ref = certified(registry, {})
    assert identifying.of_image(str(ref), nobody).seen_in == "files"


def test_without_a_matrix_the_files_are_read(registry: MemoryRegistry) -> None:
    assert identifying.of_image(str(certified(registry, LABELS)), lambda: None).seen_in == "files"


def test_a_label_alone_is_marked_as_such(registry: MemoryRegistry) -> None:
    ref = certified(registry, {"tagproof.torch": "2.13.0"})
    seen = identifying.of_image(str(ref), lambda: None, labels_only=True)
    assert (seen.seen_in, seen.torch) == ("labels", "2.13.0")
