"""Each cell stands on one base: the entry that agrees with all that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.matrix.samples import load, refusal

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = f"registry.example.org/team/base@sha256:{'a' * 64}"
OTHER = f"registry.example.org/team/base@sha256:{'b' * 64}"
HEAD = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu, cu130]
python: [{pythons}]
publish: {{repository: registry.example.org/team/vllm}}
"""


def text(bases: list[str], *pythons: str, more: str = "") -> str:
    """A matrix for these Pythons with these entries, the first of them on line 7."""
    listed = "".join(f"  - {base}\n" for base in bases)
    return HEAD.format(pythons=", ".join(f'"{python}"' for python in pythons)) + f"base:\n{listed}{more}"


def made(suite: str, **names: str) -> str:
    """An entry for a base that is made here."""
    named = "".join(f", {name}: {value}" for name, value in names.items())
    return f'{{suite: {suite}, refresh: "2026-11-20"{named}}}'


def test_a_suite_is_for_the_cells_of_its_python(tmp_path: Path) -> None:
    """So two Pythons of one matrix need no more than two lines."""
    suites = {"bookworm": "3.11", "trixie": "3.13", "jammy": "3.10", "noble": "3.12"}
    specs = load(tmp_path, text([made(suite) for suite in suites], *suites.values())).specs
    assert {spec.cell.python: spec.base.suite for spec in specs} == {v: s for s, v in suites.items()}
    assert {spec.base.glibc for spec in specs} == {"2.36", "2.41", "2.35", "2.39"}


def test_an_entry_is_for_the_cells_that_agree_with_all_that_it_names(tmp_path: Path) -> None:
    """Pythons, CUDAs, and a glob; what it does not name it takes as it comes."""
    bases = [
        made("bookworm", cuda="[cpu]"),
        f'{{image: "{IMAGE}", python: ["3.11", "3.12"], cuda: [cu130]}}',
        f'{{image: "{OTHER}", cells: "*-cpu-py3.12"}}',
    ]
    specs = load(tmp_path, text(bases, "3.11", "3.12")).specs
    assert {spec.cell.id: str(spec.base.image or spec.base.suite) for spec in specs} == {
        "torch2.13.0-cpu-py3.11": "bookworm",
        "torch2.13.0-cpu-py3.12": OTHER,
        "torch2.13.0-cu130-py3.11": IMAGE,
        "torch2.13.0-cu130-py3.12": IMAGE,
    }


def test_each_cell_is_judged_on_its_own_base(tmp_path: Path) -> None:
    """An image with an old glibc is no reason against a cell on another one."""
    bases = [made("bookworm"), f'{{image: "{IMAGE}", glibc: "2.17", python: ["3.12"]}}']
    loaded = load(tmp_path, text(bases, "3.11", "3.12"))
    assert {spec.cell.python for spec in loaded.specs} == {"3.11"}
    assert all("glibc" in pruned.reasons[0] for pruned in loaded.pruned)
    assert {pruned.cell.python for pruned in loaded.pruned} == {"3.12"}


def test_one_mapping_is_a_list_of_one(tmp_path: Path) -> None:
    """The short form stays: one system for all cells."""
    listed = load(tmp_path, text([made("bookworm")], "3.11"))
    mapped = load(tmp_path, HEAD.format(pythons='"3.11"') + f"base: {made('bookworm')}\n")
    assert listed.specs == mapped.specs


def test_what_only_a_pruned_cell_would_need_may_be_missing(tmp_path: Path) -> None:
    """No PyTorch of the axes is there for Python 3.9: no base need be, either."""
    loaded = load(tmp_path, text([made("bookworm")], "3.11", "3.9"))
    assert {pruned.cell.python for pruned in loaded.pruned} == {"3.9"}


BAD = {
    "a Python that no base brings": (
        text([made("bookworm"), made("trixie")], "3.11", "3.12", "3.13"),
        [
            "matrix.yaml:4:18: python: '3.12', but the base bookworm brings Python 3.11; the base trixie ",
            'add {suite: noble, refresh: "…"} to the list `base:`',
        ],
    ),
    "a Python that no suite brings": (
        text([made("bookworm")], "3.11", "3.14"),
        ["matrix.yaml:4:18: python: '3.14'", "add an image by digest that has 3.14 to the list `base:`"],
    ),
    "a cell that no base is for": (
        text([made("bookworm", cuda="[cpu]")], "3.11"),
        ["matrix.yaml:2:9: no base is for torch2.13.0-cu130-py3.11\n", "give each cell one"],
    ),
    "a cell that two bases are for": (
        text([made("bookworm"), f'{{image: "{IMAGE}", cuda: [cu130]}}'], "3.11"),
        [
            "matrix.yaml:8:5: this base and that of line 7 are both for torch2.13.0-cu130-py3.11\n",
            "give each cell one: an entry may name `python:`, `cuda:` and `cells:`",
        ],
    ),
    "cells that two bases are for": (
        text([made("bookworm"), made("bookworm")], "3.11"),
        ["matrix.yaml:8:5: this base and that of line 7 are both for torch2.13.0-cpu-py3.11 and 1 more"],
    ),
    "a base for no cell": (
        text([made("bookworm"), made("trixie")], "3.11"),
        ["matrix.yaml:8:5: this base is for no cell", "correct what it names, or remove it"],
    ),
    "a base for a glob that matches nothing": (
        text([made("bookworm"), made("trixie", cells='"*-py3.14"')], "3.11"),
        ["matrix.yaml:8:51: no cell matches '*-py3.14'"],
    ),
    "a suite that names another Python": (
        text([made("bookworm"), made("trixie", python='["3.12"]')], "3.11", "3.13"),
        [
            "matrix.yaml:8:53: base.python: '3.12', but trixie brings Python 3.13",
            "a base with a suite is for Python 3.13 alone",
        ],
    ),
    "a base in a list without a day": (
        text([made("bookworm"), "{suite: trixie}"], "3.11", "3.13"),
        ["matrix.yaml:8:5: base.refresh is missing"],
    ),
    "an unknown suite in a list": (
        text([made("bookworm"), made("plucky")], "3.11"),
        ["matrix.yaml:8:13: base.suite: one of 'bookworm', 'trixie', 'jammy' or 'noble' is expected"],
    ),
    "an unknown key in a list": (
        text([made("bookworm"), made("trixie", pythons='["3.13"]')], "3.11", "3.13"),
        ["matrix.yaml:8:44: unknown key 'pythons' in base", "did you mean python?"],
    ),
    "a Python in a list that is no text": (
        text([made("bookworm"), f'{{image: "{IMAGE}", python: [3.10]}}'], "3.11", "3.10"),
        ["matrix.yaml:8:128: base.python: 3.10 without quotes is the number 3.1 to YAML", 'quote it: "3.10"'],
    ),
    "no base at all": (
        HEAD.format(pythons='"3.11"') + "base: []\n",
        ["matrix.yaml:6:7: base: at least one is expected"],
    ),
    "a base that is a word": (
        HEAD.format(pythons='"3.11"') + "base: bookworm\n",
        ["matrix.yaml:6:7: base: a mapping is expected, not 'bookworm'", "write it as keys with values"],
    ),
    "a base in a list that is a word": (
        text([made("bookworm"), "trixie"], "3.11"),
        ["matrix.yaml:8:5: base: a mapping is expected, not 'trixie'"],
    ),
    "packages for an image of the user's": (
        text([f'{{image: "{IMAGE}"}}'], "3.11", more="system: [libgomp1]\n"),
        [f"matrix.yaml:8:1: system: libgomp1 cannot be installed into {IMAGE}", "builds have no network"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_base_that_is_not_one_for_each_cell_is_refused(case: str, tmp_path: Path) -> None:
    """By line and column, with the remedy; and each problem once."""
    matrix, expected = BAD[case]
    message = refusal(tmp_path, matrix)
    assert [words for words in expected if words not in message] == [], message
    assert message.count("matrix.yaml:") == sum("matrix.yaml:" in words for words in expected), message
