"""Properties of the matrix, whatever stands in it: no cell is lost or invented, and nothing crashes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import compat, matrix
from pipeline.matrix.globs import alternatives, chosen
from pipeline.matrix.schema import AXES, File
from pipeline.model import Cell, Level, Matrix
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
base: {refresh: "2026-11-20"}
publish: {repository: 127.0.0.1:5000/a}
"""


def load(tmp_path: Path, text: str | bytes) -> Matrix | UsageError:
    """The matrix that this text makes, or why it makes none."""
    path = tmp_path / "matrix.yaml"
    path.write_bytes(text.encode("utf-8", "replace") if isinstance(text, str) else text)
    try:
        return matrix.load(path)
    except UsageError as error:
        return error


in_one_folder = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
"""Each example writes its file anew, so the folder may be shared."""

releases = st.sampled_from(["2.4.0", "2.6.0", "2.10.0", "2.12.1", "2.13.0", "2.14.0", "2.99.0"])
vllms = st.sampled_from(["auto", "none", "0.6.0", "0.8.5", "0.19.1", "0.26.0", "0.31.0", "0.32.0", "0.99.0"])
cudas = st.sampled_from(["cpu", "cu118", "cu126", "cu128", "cu130"])
platforms = st.sampled_from(["linux/amd64", "linux/arm64"])


def some(values: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """A list of some of these values, each once."""
    return st.lists(values, min_size=1, max_size=4, unique=True)


files = st.fixed_dictionaries(
    {"torch": some(releases), "cuda": some(cudas)},
    optional={"platform": some(platforms), "vllm": some(vllms)},
)
"""Axes of which some combinations are possible, some are not, and of some nobody knows."""

excludes = st.lists(
    st.fixed_dictionaries(
        {"reason": st.just("not wanted")},
        optional={"torch": releases, "cuda": cudas, "vllm": vllms, "platform": platforms},
    ),
    max_size=3,
)


def written(axes: dict[str, list[str]], **more: Any) -> str:
    """The file with these axes and one cell beside them that nobody knows, so that one is always left."""
    beside = {"torch": "2.98.0", "cuda": "cu130", "python": "3.11"}
    rest = {"base": {"refresh": "2026-11-20"}, "publish": {"repository": "127.0.0.1:5000/a"}}
    text = {**axes, "schema": 1, "python": ["3.11"], "include": [beside], **rest, **more}
    return yaml.safe_dump(text, sort_keys=False)


BESIDE = Cell("2.98.0", "cu130", "3.11", None)


def asked(axes: dict[str, list[str]]) -> set[Cell]:
    """Every combination of the axes, with what auto finds in its place."""
    whole = {
        Cell(torch, cuda, "3.11", None if vllm == "none" else vllm, platform)
        for torch in axes["torch"]
        for cuda in axes["cuda"]
        for vllm in axes.get("vllm", ["none"])
        for platform in axes.get("platform", ["linux/amd64"])
    }
    return {
        Cell(cell.torch, cell.cuda, cell.python, compat.newest_vllm(cell) or "auto", cell.platform)
        if cell.vllm == "auto"
        else cell
        for cell in whole
    }


# -- cells ------------------------------------------------------------------------------------------


@given(axes=files, without=excludes)
@in_one_folder
def test_what_is_left_and_what_is_left_out_make_up_the_whole(
    tmp_path: Path, axes: dict[str, list[str]], without: list[dict[str, str]]
) -> None:
    """Each combination is a cell, impossible or excluded, and just one of these; none is invented."""
    useful = [one for one in without if len(one) > 1]
    found = load(tmp_path, written(axes, exclude=useful))
    if isinstance(found, UsageError):
        assert "this exclude matches no cell" in str(found)
        return
    kept = [cell for cell in found.cells if cell != BESIDE]
    left_out = [one.cell for one in found.pruned]
    assert len({cell.id for cell in (*kept, *left_out)}) == len(kept) + len(left_out)
    assert {*kept, *left_out} == asked(axes)
    assert all(bool(one.findings) != bool(one.excluded) for one in found.pruned)


@given(axes=files)
@in_one_folder
def test_the_product_is_as_large_as_its_axes_say(tmp_path: Path, axes: dict[str, list[str]]) -> None:
    """Where nothing is to be found."""
    axes = {axis: values for axis, values in axes.items() if "auto" not in values}
    found = load(tmp_path, written(axes))
    assert isinstance(found, Matrix)
    assert len(found.cells) - 1 + len(found.pruned) == math.prod(map(len, axes.values()))


@given(axes=files)
@in_one_folder
def test_what_is_left_can_exist_and_what_is_pruned_cannot(tmp_path: Path, axes: dict[str, list[str]]) -> None:
    """Also what auto found."""
    found = load(tmp_path, written(axes))
    assert isinstance(found, Matrix)
    for spec in found.specs:
        assert not compat.judge(spec.cell, compat.conditions_of(spec)).at(Level.IMPOSSIBLE)
        assert spec.cell.vllm != "auto"
    for one in found.pruned:
        assert {finding.level for finding in one.findings} == {Level.IMPOSSIBLE}


@given(axes=files, data=st.data())
@in_one_folder
def test_the_order_of_axes_and_values_does_not_matter(
    tmp_path: Path, axes: dict[str, list[str]], data: st.DataObject
) -> None:
    """The same comes out, whatever was written first."""
    order = data.draw(st.permutations(list(axes)))
    shuffled = {axis: data.draw(st.permutations(axes[axis])) for axis in order}
    one, other = load(tmp_path, written(axes)), load(tmp_path, written(shuffled))
    assert isinstance(one, Matrix)
    assert isinstance(other, Matrix)
    assert set(one.specs) == set(other.specs)
    assert set(one.pruned) == set(other.pruned)


@given(axes=files, data=st.data())
@in_one_folder
def test_including_what_was_excluded_brings_it_back(
    tmp_path: Path, axes: dict[str, list[str]], data: st.DataObject
) -> None:
    """Then nothing is excluded any more."""
    value = data.draw(st.sampled_from(axes["torch"]))
    whole = load(tmp_path, written(axes))
    assert isinstance(whole, Matrix)
    taken = [cell for cell in whole.cells if cell.torch == value]
    again = [{axis: getattr(cell, axis) or "none" for axis in AXES} for cell in taken]
    beside = [{axis: getattr(BESIDE, axis) or "none" for axis in AXES}]
    without = [{"torch": value, "reason": "not wanted"}]
    back = load(tmp_path, written(axes, exclude=without, include=beside + again))
    assert isinstance(back, Matrix)
    assert set(back.cells) == set(whole.cells)


# -- selections -------------------------------------------------------------------------------------

IDS = [f"vllm0.{n}.0-torch2.13.0-{cuda}-py3.11" for n in range(30, 33) for cuda in ("cpu", "cu130")]
patterns = st.lists(
    st.sampled_from(
        ["*", "*-cpu-*", "!*-cpu-*", "*0.3[01]*", "!*0.32*", "*-{cpu,cu130}-*", f"!{IDS[0]}", IDS[1]]
    ),
    max_size=5,
)


def selected(wanted: list[str]) -> tuple[str, ...] | None:
    """What these patterns choose; None where they leave nothing."""
    try:
        return chosen(IDS, wanted)
    except UsageError:
        return None


@given(wanted=patterns, data=st.data())
def test_the_order_of_patterns_and_how_often_they_stand_does_not_matter(
    wanted: list[str], data: st.DataObject
) -> None:
    doubled = data.draw(st.permutations([*wanted, *data.draw(st.permutations(wanted))[:2]]))
    assert selected(doubled) == selected(wanted)


@given(wanted=patterns)
def test_what_is_taken_away_is_gone_and_all_else_stays(wanted: list[str]) -> None:
    """A negative never adds a cell, and takes none that it does not match."""
    positive = [pattern for pattern in wanted if not pattern.startswith("!")]
    away = [pattern.removeprefix("!") for pattern in wanted if pattern.startswith("!")]
    left = set(selected(positive) or ()) - set(selected(away) or () if away else ())
    assert set(selected(wanted) or ()) == left


# -- whatever stands in the file ------------------------------------------------------------------


@given(body=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: HEAD + text)))
@in_one_folder
def test_whatever_the_bytes_are_the_answer_is_a_matrix_or_a_usage_error(
    tmp_path: Path, body: bytes | str
) -> None:
    """No traceback of YAML, pydantic or ours ever reaches the user."""
    found = load(tmp_path, body)
    assert isinstance(found, Matrix) or str(found).startswith(f"{tmp_path}/matrix.yaml:")


shapes = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["a", "2.13.0", "*", "a==1", "", "auto", "none", "sm_90", "{torch}", "1 GB"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["cells", "pins", "torch", "archs", "tags", "installed"]), inner)
    ),
    max_leaves=6,
)


@given(keys=st.dictionaries(st.sampled_from([*File.model_fields, "schema"]), shapes, min_size=1, max_size=4))
@in_one_folder
def test_whatever_a_key_holds_the_answer_is_a_matrix_or_a_usage_error(
    tmp_path: Path, keys: dict[str, Any]
) -> None:
    """Any value under any key is either understood or refused with a place."""
    axes = {"torch": ["2.13.0"], "cuda": ["cpu"], "vllm": ["0.32.0"]}
    found = load(tmp_path, written(axes, **keys))
    assert isinstance(found, Matrix) or str(found).startswith(f"{tmp_path}/matrix.yaml:")


@given(st.text(alphabet="ab{},*", max_size=24))
def test_braces_are_expanded_to_patterns_without_pairs_or_refused(pattern: str) -> None:
    """Nothing hangs, and no pair of braces is left over."""
    try:
        found = alternatives(pattern)
    except ValueError:
        return
    assert found
    assert not [text for text in found if "{" in text and "}" in text[text.index("{") :]]
