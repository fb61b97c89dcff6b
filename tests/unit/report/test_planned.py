"""The plan as it is shown: rows for GitHub, and the text that people read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model import (
    Cell,
    Estimate,
    Finding,
    Level,
    Pruned,
    Reason,
    ReasonCode,
    State,
    Status,
    Verdict,
)
from pipeline.report import planned
from pipeline.stages import plan
from tests.unit.stages.planned_cells import BAD, CPU, CUDA, LAST, ODD, PINNED

# -- rows for GitHub --------------------------------------------------------------------------------


def test_each_possible_cell_is_a_row_with_its_runner() -> None:
    """Also one with nothing to do; not one that cannot be."""
    arm = Cell("2.13.0", "cpu", "3.11", "0.32.0", "linux/arm64")
    pytorch = Cell("2.13.0", "cpu", "3.11", None)
    statuses = (
        Status(CPU, State.PUBLISHED),
        Status(pytorch, State.UNBUILT),
        Status(CUDA, State.UNLOCKED, pending="needs a GPU"),
        Status(arm, State.UNBUILT),
        Status(Cell("2.12.0", "cpu", "3.11", "0.32.0"), State.IMPOSSIBLE),
    )
    found = plan.github(statuses)
    assert found == {
        "include": [
            {"name": CPU.id, "cells": CPU.id, "runner": "ubuntu-latest"},
            {"name": pytorch.id, "cells": pytorch.id, "runner": "ubuntu-latest"},
            {"name": CUDA.id, "cells": CUDA.id, "runner": ["self-hosted", "gpu"]},
            {"name": arm.id, "cells": arm.id, "runner": "ubuntu-24.04-arm"},
        ]
    }
    assert json.loads(json.dumps(found)) == found


@given(cpu=st.integers(0, 1500), cuda=st.integers(0, 1500))
@settings(deadline=None)
def test_no_matrix_has_more_rows_than_github_takes(cpu: int, cuda: int) -> None:
    """Beyond that a row holds several cells: each cell once, and never two kinds of runner together."""
    cells = [Cell(f"2.{n}.0", "cpu", "3.11", None) for n in range(cpu)]
    cells += [Cell(f"2.{n}.0", "cu130", "3.11", None) for n in range(cuda)]
    rows = plan.github(Status(cell, State.UNBUILT) for cell in cells)["include"]
    assert len(rows) <= plan.MAX_ROWS
    assert sorted(cell for row in rows for cell in row["cells"].split()) == sorted(cell.id for cell in cells)
    assert all(
        ("-cpu-" in cell) is (row["runner"] == "ubuntu-latest")
        for row in rows
        for cell in row["cells"].split()
    )
    assert len({row["name"] for row in rows}) == len(rows)
    if cpu + cuda <= plan.MAX_ROWS:
        assert len(rows) == cpu + cuda


def test_cells_that_share_layers_are_built_on_one_machine() -> None:
    """Where a row must hold several, they have PyTorch, CUDA and Python in common."""
    cells = [
        Cell(f"2.{torch}.0", "cu130", "3.11", f"0.{vllm}.0") for vllm in range(30) for torch in range(20)
    ]
    rows = plan.github(Status(cell, State.UNBUILT) for cell in cells)["include"]
    assert plan.MAX_ROWS / 2 < len(rows) <= plan.MAX_ROWS
    assert all(len({name.split("-")[1] for name in row["cells"].split()}) == 1 for row in rows)


# -- the plan as text -------------------------------------------------------------------------------


def test_the_plan_shows_verdict_state_sizes_and_what_is_next() -> None:
    fine = Verdict((Finding("pin", Level.OK, "fits", ()),))
    rows = (
        Status(
            CPU, State.UNBUILT, steps=LAST, verdict=fine, estimate=Estimate(857_000_000, 8_000_000_000, 1, 2)
        ),
        Status(CUDA, State.UNBUILT, steps=LAST, pending="needs a GPU"),
    )
    head, cpu, cuda = planned.text_of(rows).splitlines()
    assert head.split() == ["cell", "verdict", "state", "download", "disk", "next"]
    assert cpu.split() == [CPU.id, "ok", "unbuilt", "857", "MB", "8.00", "GB", "verify", "publish"]
    assert cuda.endswith("pending: needs a GPU")


def test_the_plan_ends_with_what_was_left_out_and_why() -> None:
    """Each reason once, with some of those that it is about."""
    many = [replace(BAD, cell=replace(ODD, python=f"3.{n}")) for n in range(20)]
    text = planned.text_of((Status(CPU, State.UNBUILT),), (*many, Pruned(ODD, excluded="too slow")))
    assert text.count(PINNED.text) == 1
    assert "and 14 more" in text
    assert f"excluded: too slow\n  {ODD.id}\n" in text


def test_a_warning_that_several_cells_share_is_told_once_with_their_names() -> None:
    warned = Verdict((Finding("cuda-minor", Level.WARN, "another minor", ()),))
    rows = tuple(Status(cell, State.UNBUILT, verdict=warned) for cell in (CPU, CUDA))
    text = planned.text_of(rows)
    assert text.count("another minor") == 1
    assert f"  {CPU.id} {CUDA.id}" in text


def test_a_combination_that_is_left_out_has_a_row_with_every_reason() -> None:
    found = Finding("pin", Level.IMPOSSIBLE, "they do not go together", ("a page",), "take another")
    assert plan.left_out(Pruned(CPU, (found,), excluded="nobody asks for it")) == Status(
        CPU,
        State.IMPOSSIBLE,
        reasons=(
            Reason(ReasonCode.PIN, "they do not go together", "take another"),
            Reason(
                ReasonCode.EXCLUDED, "nobody asks for it", "remove the exclude that names it from matrix.yaml"
            ),
        ),
        verdict=Verdict((found,)),
    )


@pytest.mark.parametrize(
    ("cuda", "platform", "runner"),
    [
        ("cpu", "linux/amd64", "ubuntu-latest"),
        ("cpu", "linux/arm64", "ubuntu-24.04-arm"),
        ("cu130", "linux/amd64", ["self-hosted", "gpu"]),
        ("cu130", "linux/arm64", ["self-hosted", "gpu", "arm64"]),
    ],
)
def test_each_kind_of_cell_has_its_runner(cuda: str, platform: str, runner: object) -> None:
    one = Status(replace(CPU, cuda=cuda, platform=platform), State.UNBUILT)
    assert plan.github([one])["include"] == [
        {"name": one.cell.id, "cells": one.cell.id, "runner": runner},
    ]


@pytest.mark.parametrize(
    ("count", "rows", "first"), [(256, 256, ""), (257, 129, " and 1 more"), (513, 171, " and 2 more")]
)
def test_many_cells_share_rows_and_the_name_says_how_many(count: int, rows: int, first: str) -> None:
    """No more than GitHub takes, and as few in one as that allows."""
    statuses = [Status(replace(CPU, vllm=f"0.{number}.0"), State.UNBUILT) for number in range(count)]
    found = plan.github(statuses)["include"]
    assert len(found) == rows
    assert found[0]["name"] == f"{statuses[0].cell.id}{first}"
    assert [name for row in found for name in row["cells"].split()] == [one.cell.id for one in statuses]


def test_as_many_families_as_rows_are_a_row_each() -> None:
    """Two cells each, which share all but vLLM's layers."""
    statuses = [
        Status(replace(CPU, torch=f"2.{number}.0", vllm=vllm), State.UNBUILT)
        for vllm in ("0.1.0", "0.2.0")
        for number in range(256)
    ]
    found = plan.github(statuses)["include"]
    assert len(found) == 256
    assert all(len({name.partition("-")[2] for name in row["cells"].split()}) == 1 for row in found)
