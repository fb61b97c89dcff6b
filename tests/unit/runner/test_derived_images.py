"""An image that was made from another one: which findings are its own, and how much an addition weighs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.image_files.nodes import Layer
from pipeline.cli import main as command_line
from pipeline.model import Severity
from pipeline.model.errors import USAGE
from pipeline.stages.build import layers_of_recipe
from tests.crafted import Item, layout, tar
from tests.unit.stages.audit.audited_image import Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ERROR, WARNING, NOTE = Severity
SITE = "opt/venv/lib/python3.11/site-packages"


def package(name: str, version: str, requires: tuple[str, ...] = ()) -> list[Item]:
    """The metadata of a package, in a layer."""
    info = f"{SITE}/{name.replace('-', '_')}-{version}.dist-info"
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {one}" for one in requires)]
    text = "Metadata-Version: 2.1\n" + "\n".join(lines) + "\n"
    return [Item(f"{info}/METADATA", content=text.encode()), Item(f"{info}/RECORD", content=b"")]


TORCH = package("torch", "2.13.0", requires=("sympy>=1.13.3", "typing-extensions>=4.10.0"))
EXTENSIONS = package("typing-extensions", "4.16.0")
HARMLESS = package("rich", "15.0.0")
DEADLY = package("vision", "0.28.0", requires=("torch==2.12.0",))


def made(place: Path, *layers: Sequence[Item]) -> Path:
    return layout(place, [tar(*items) for items in layers])


def findings(
    place: Path, capsys: pytest.CaptureFixture[str], *words: str
) -> dict[tuple[str, str], tuple[str, str | None]]:
    """What certify finds of requirements: by owner and what it asks for, how severe it is, and whose."""
    command_line.main(["certify", str(place), "--matrix", str(place / "none"), "--json", *words])
    told = json.loads(capsys.readouterr().out)["findings"]
    return {
        (one["what"].split()[0], one["what"].partition("asks for ")[2].partition(",")[0]): (
            one["severity"],
            one.get("origin"),
        )
        for one in told
        if one["rule"] == "requirements"
    }


@pytest.mark.parametrize(
    ("added", "own"),
    [
        (HARMLESS, {}),
        (DEADLY, {("vision", "torch==2.12.0"): ("error", "own")}),
    ],
)
def test_what_the_parent_has_is_told_from_what_its_own_layers_bring(
    added: list[Item],
    own: dict[tuple[str, str], tuple[str, str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parent = made(tmp_path / "parent", [*TORCH, *EXTENSIONS])
    child = made(tmp_path / "child", [*TORCH, *EXTENSIONS], added)
    told = findings(child, capsys, "--parent", str(parent))
    assert told == {("torch", "sympy>=1.13.3"): ("warning", "parent")} | own


def test_what_its_own_layers_have_removed_is_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Although the package that misses it lies in the parent's layers."""
    folder = EXTENSIONS[0].path.rpartition("/")[0]
    whiteout = Item(f"{folder.rpartition('/')[0]}/.wh.{folder.rpartition('/')[2]}", content=b"")
    parent = made(tmp_path / "parent", [*TORCH, *EXTENSIONS])
    child = made(tmp_path / "child", [*TORCH, *EXTENSIONS], [whiteout])
    told = findings(child, capsys, "--parent", str(parent))
    assert told[("torch", "typing-extensions>=4.10.0")] == ("error", "own")


def test_without_a_parent_nothing_is_said_of_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = findings(made(tmp_path, TORCH), capsys)
    assert {origin for _, origin in told.values()} == {None}


def test_the_page_says_whose_a_finding_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parent = made(tmp_path / "parent", [*TORCH, *EXTENSIONS])
    child = made(tmp_path / "child", [*TORCH, *EXTENSIONS], DEADLY)
    command_line.main(["certify", str(child), "--matrix", str(tmp_path / "none"), "--parent", str(parent)])
    out = capsys.readouterr().out
    assert "from its own layers" in out
    assert "from the image that it was made from" in out


def test_a_parent_whose_layers_are_others_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, child = made(tmp_path / "other", HARMLESS), made(tmp_path / "child", TORCH, HARMLESS)
    words = ["certify", str(child), "--matrix", str(tmp_path / "none"), "--parent", str(other)]
    assert command_line.main(words) == USAGE
    assert "was not made from" in capsys.readouterr().err


RECIPE = ("ADD base", "COPY /environment/ /", "RUN /tools/install.sh", "RUN /tools/install.sh")


@pytest.mark.parametrize(
    ("above", "count"),
    [
        ((), 4),
        (("RUN pip install rich",), 4),
        (("WORKDIR /home/app",), 5),
        (("WORKDIR /home/app", "RUN x"), 5),
    ],
)
def test_the_layers_of_the_recipe_are_known_by_what_made_them(above: tuple[str, ...], count: int) -> None:
    layers = [Layer(f"sha256:{number:064}", 1, command) for number, command in enumerate((*RECIPE, *above))]
    assert layers_of_recipe(layers) == count


def test_nobody_elses_image_was_made_by_the_recipe() -> None:
    assert layers_of_recipe([Layer("sha256:" + "0" * 64, 1, "RUN pip install vllm")]) == 0


def test_a_package_on_top_of_a_cell_is_a_note_and_another_version_of_a_locked_one_an_error() -> None:
    image = Image()
    pins = image.wanted.pins
    image.install("rich", "15.0.0")
    image.install("triton", "3.6.0")
    image.wanted = replace(image.wanted, pins=pins)
    image.parent = Image().judged()
    found = {one.text.split()[0]: one for one in image.judged().findings if "lock" in one.text}
    assert {name: (one.severity, one.origin) for name, one in found.items()} == {
        "rich": (NOTE, "own"),
        "triton": (ERROR, "own"),
    }
