"""The companions' rows: which wheel stands for a release, and what is kept of its METADATA."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipeline.adapters.package_index import Index, IndexFile
from pipeline.compat.companion_facts import COMPANIONS, load
from pipeline.model.errors import FactsError
from pipeline.stages.refresh import companions
from pipeline.stages.refresh.releases import Project
from tests.unit.stages.refresh.artefacts import listed

if TYPE_CHECKING:
    from pathlib import Path

VISION = Project("torchvision", oldest="0.15.0")
LINUX = "manylinux_2_28_x86_64"


def offered(*names: str, **changes: Any) -> list[tuple[str, tuple[str, ...]]]:
    """The names of the wheels that stand for releases, with their Pythons."""
    page = [listed(name, **changes) for name in names]
    return [(file.name, pythons) for file, pythons in companions.offered(VISION, page)]


def test_one_wheel_stands_for_a_release_and_its_pythons_are_those_of_all_of_them() -> None:
    names = [f"torchvision-0.25.0-cp3{minor}-cp3{minor}-{LINUX}.whl" for minor in (9, 10, 11)]
    assert offered(*names) == [(f"torchvision-0.25.0-cp310-cp310-{LINUX}.whl", ("3.9", "3.10", "3.11"))]


def test_a_free_threaded_python_is_another_one() -> None:
    names = (f"torchvision-0.25.0-cp313-cp313-{LINUX}.whl", f"torchvision-0.25.0-cp313-cp313t-{LINUX}.whl")
    assert offered(*names)[0][1] == ("3.13",)


@pytest.mark.parametrize("tags", [f"cp39-abi3-{LINUX}", "py3-none-any", f"py3-none-{LINUX}"])
def test_a_wheel_for_all_pythons_names_none(tags: str) -> None:
    assert offered(f"torchvision-0.29.2-{tags}.whl") == [(f"torchvision-0.29.2-{tags}.whl", ())]


def test_a_wheel_for_another_system_stands_for_nothing() -> None:
    assert not offered("torchvision-0.25.0-cp311-cp311-win_amd64.whl")
    (arm,) = offered("torchvision-0.25.0-cp311-cp311-manylinux_2_28_aarch64.whl")
    assert arm[1] == ("3.11",)


def test_previews_what_is_yanked_and_what_is_too_old_are_left_out() -> None:
    assert not offered(f"torchvision-0.25.0rc1-cp311-cp311-{LINUX}.whl")
    assert not offered(f"torchvision-0.14.0-cp311-cp311-{LINUX}.whl")
    assert not offered(f"torchvision-0.25.0-cp311-cp311-{LINUX}.whl", yanked=True)


class Shelf(Index):
    """An index with one wheel of transformers, which holds this METADATA."""

    def __init__(self, metadata: str) -> None:
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            archive.writestr("transformers-5.3.0.dist-info/METADATA", metadata)
        self.body = body.getvalue()
        self.read = 0

    def files(self, project: str) -> tuple[IndexFile, ...]:
        """The wheel, on its project's page."""
        file = listed("transformers-5.3.0-py3-none-any.whl", size=len(self.body))
        return (file,) if project == "transformers" else ()

    def part(self, file: IndexFile, start: int | None, stop: int) -> tuple[bytes, int]:  # noqa: ARG002
        """Bytes of it."""
        self.read += 1
        begin = max(0, len(self.body) - stop) if start is None else start
        return self.body[begin:] if start is None else self.body[begin:stop], len(self.body)


METADATA = """\
Metadata-Version: 2.4
Name: transformers
Version: 5.3.0
Requires-Python: >=3.10
Requires-Dist: tokenizers<0.24,>=0.22
Requires-Dist: tqdm>=4.27
Requires-Dist: torch>=2.4; extra == "torch"
Requires-Dist: of no sense >
"""


def refreshed(shelf: Shelf, known: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    rows, problems = companions.refresh(cast("Index", shelf), known, lambda _: None)
    assert not problems
    return rows


def test_of_its_requirements_those_on_the_stack_are_kept_and_those_of_extras_are_not() -> None:
    (row,) = refreshed(Shelf(METADATA))
    assert (row.version, row.requires_python, row.requires) == (
        "5.3.0",
        ">=3.10",
        ("tokenizers<0.24,>=0.22",),
    )


def test_what_was_read_is_not_read_again() -> None:
    shelf = Shelf(METADATA)
    rows = refreshed(shelf)
    read = shelf.read
    assert refreshed(shelf, rows) == rows
    assert shelf.read == read


@pytest.mark.parametrize(
    "metadata", ["Name: torch\nVersion: 5.3.0\n", "Name: transformers\nVersion: new\n", ""]
)
def test_a_wheel_that_is_another_one_is_refused(metadata: str) -> None:
    with pytest.raises(FactsError, match="METADATA"):
        refreshed(Shelf(metadata))


def test_the_file_is_written_as_it_is_read(tmp_path: Path) -> None:
    rows = companions.read(COMPANIONS)
    path = tmp_path / "companions.json"
    assert companions.write(path, rows, load(COMPANIONS).read)
    assert path.read_bytes() == COMPANIONS.read_bytes()
    assert not companions.write(path, rows, "2030-01-01")
    assert companions.write(path, (replace(rows[0], requires=("torch",)), *rows[1:]), "2030-01-01")


@pytest.mark.parametrize("text", ["", "[]", '{"releases": 1}', '{"releases": [{"package": 1}]}', "[" * 9999])
def test_a_file_that_is_none_of_ours_is_an_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "companions.json"
    path.write_text(text)
    with pytest.raises(FactsError):
        companions.read(path)
    with pytest.raises(FactsError):
        load(path)
