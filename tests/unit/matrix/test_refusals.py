"""Each bad matrix is refused by line, value and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline import matrix
from pipeline.model.errors import UsageError
from tests.unit.matrix.bad_values import BAD_VALUES
from tests.unit.matrix.bad_yaml import BAD_YAML
from tests.unit.matrix.samples import CPU, GOOD, load, refusal

if TYPE_CHECKING:
    from pathlib import Path

BAD = BAD_YAML | BAD_VALUES


@pytest.mark.parametrize("case", BAD)
def test_a_bad_matrix_is_refused_by_place_value_and_remedy(case: str, tmp_path: Path) -> None:
    """Each case names the file, the line and the column, the value, and what to do."""
    text, expected = BAD[case]
    message = refusal(tmp_path, text)
    assert [words for words in expected if words not in message] == [], message
    assert "hint: " in message


MEANT = {
    ("torch", "2.13"): "2.13.0",
    ("torch", "2.13.0+cpu"): "2.13.0",
    ("torch", "v2.13.0"): "2.13.0",
    ("cuda", "13.0"): "cu130",
    ("cuda", "CU130"): "cu130",
    ("cuda", "cuda-12.8"): "cu128",
    ("cuda", "12.8.1"): "cu128",
    ("cuda", "CPU"): "cpu",
    ("python", "3.11.9"): "3.11",
    ("python", "311"): "3.11",
    ("python", "cp311"): "3.11",
    ("vllm", "v0.32.0"): "0.32.0",
    ("platform", "x86_64"): "linux/amd64",
    ("vllm", "latest"): "auto",
    ("vllm", "None"): "none",
    ("platform", "arm64"): "linux/arm64",
}


@pytest.mark.parametrize(("axis", "written"), MEANT)
def test_a_common_slip_is_told_what_was_probably_meant(axis: str, written: str, tmp_path: Path) -> None:
    """The value is understood well enough to be put right."""
    lines = [line for line in GOOD.splitlines() if not line.startswith(axis)]
    message = refusal(tmp_path, "\n".join([*lines, f'{axis}: ["{written}"]']))
    assert f"{axis}: '{written}' is no " in message
    assert f'did you mean "{MEANT[axis, written]}"?' in message


@pytest.mark.parametrize("axis", ["torch", "cuda", "python", "vllm", "platform"])
@pytest.mark.parametrize(
    "evil",
    [
        "{}; curl x",
        "{}\\n",
        "{}\\nFROM x",
        "$({})",
        "`{}`",
        "{} ",
        "${{{{ {} }}}}",
        "{}'",
        "{}/..",
        "-{}",
        "{}\u0663",
        "",
    ],
)
def test_nothing_that_a_shell_or_a_dockerfile_understands_is_a_version(
    axis: str, evil: str, tmp_path: Path
) -> None:
    """A version with anything around it is no version, on every axis."""
    good = {"torch": "2.13.0", "cuda": "cu130", "python": "3.11", "vllm": "0.32.0", "platform": "linux/amd64"}
    lines = [line for line in GOOD.splitlines() if not line.startswith(axis)]
    message = refusal(tmp_path, "\n".join([*lines, f'{axis}: ["{evil.format(good[axis])}"]']))
    assert f"matrix.yaml:{len(lines) + 1}:{len(axis) + 4}: {axis}: " in message


def test_every_problem_is_told_at_once_and_in_the_order_of_the_file(tmp_path: Path) -> None:
    """A wrong shape in one section does not hide a wrong meaning in another."""
    text = GOOD.replace('refresh: "2026-11-20"', "refresh: 2026").replace("vllm\n", "VLLM\n") + (
        "  aliases: {cpu: '*-cpu-*'}\n"
        "omit: [{packages: [a b], reason: r}, {packages: [a], cells: '*-gpu-*', reason: r}]\n"
        "verify: {requird: [serve], signers: [a.pub]}\n"
    )
    message = refusal(tmp_path, text).splitlines()
    places = [line.split(": ")[0] for line in message if line.startswith("matrix.yaml")]
    assert places == [
        f"matrix.yaml:{at}" for at in ("6:34", "8:15", "9:18", "10:20", "10:61", "11:10", "11:38")
    ]
    assert message[-1] == "hint: 7 problems, each with its remedy above"


def test_a_misspelt_axis_is_not_blamed_on_the_globs(tmp_path: Path) -> None:
    """Where the cells are not known, nothing is said of what should match them."""
    message = refusal(tmp_path, GOOD.replace("python:", "pyhton:") + f"  aliases: {{cpu: {CPU}}}\n")
    assert message.count("matrix.yaml:") == 1


def test_aliases_that_would_explode_are_refused_in_no_time(tmp_path: Path) -> None:
    """Each alias doubles the one before; none is ever expanded."""
    bomb = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    assert "the alias *a0 hides a value" in refusal(tmp_path, f"a0: &a0 [x, x]\n{bomb}")


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    """So is a folder; the remedy names the option."""
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(UsageError, match="there is no such file") as caught:
            matrix.load(path)
        assert "--matrix" in caught.value.hint


def test_a_wrong_repository_option_is_a_usage_error(tmp_path: Path) -> None:
    """It is blamed on the option, not on the file."""
    with pytest.raises(UsageError, match="--repository: 'Team/VLLM' is no repository"):
        load(tmp_path, GOOD, "Team/VLLM")


@pytest.mark.parametrize("written", ["9.0", "90", "sm90", "sm_90a", "compute_90", "9.0+PTX", "h200", "GH200"])
def test_an_architecture_is_understood_in_every_common_form(written: str, tmp_path: Path) -> None:
    """As PyTorch lists it, as nvcc does, or by the name of a GPU that has it."""
    message = refusal(tmp_path, GOOD + f"gpu: {{archs: ['{written}']}}\n")
    assert "is no GPU architecture" in message
    assert 'did you mean "sm_90"?' in message


def test_only_the_first_of_many_impossible_cells_are_told_what_is_nearest(tmp_path: Path) -> None:
    """Looking it up takes time; the others get the remedies of the rules."""
    entries = [f"{{torch: '2.14.0', cuda: cu130, python: '3.11', vllm: '0.{n}.0'}}" for n in range(14, 27)]
    message = refusal(tmp_path, GOOD + f"include: [{', '.join(entries)}]\n")
    assert message.count("is impossible: pin: ") == 13
    assert message.count("the nearest possible: ") == 10
    assert message.count("  hint: take torch ") == 3
