"""The build key names all that shapes an image, and nothing else."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import characters, text

from pipeline.model import Base, Cell, Digest, JustifiedRequirement, Lock, Pin, Repository, Spec, Trim
from pipeline.stages import build

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "images"
CELL = Cell("2.13.0", "cpu", "3.11", "0.32.0")
CUDA_CELL = replace(CELL, cuda="cu130")
PYTORCH_SPEC = Spec(replace(CELL, vllm=None), Base("bookworm", "2026-11-20"))
SPEC = Spec(CELL, Base("bookworm", "2026-11-20"))
LOCK = Lock(CELL, (Pin("torch", "2.13.0+cpu", "a" * 64, "torch-2.13.0+cpu-cp311-cp311-any.whl", 1),))
BASE = Repository("127.0.0.1:5000", "team/vllm-staging/base").at(Digest.of(b"base"))


def key(spec: Spec = SPEC, lock: Lock = LOCK, images: Path = IMAGES, driver: str | None = None) -> str:
    return build.key(spec, lock, BASE, driver, images)


COMMITTED = "d25b422f6b21c954f062da1597bd7b913e92950041829e9cd30703aedc5b39ea"
"""The key of `SPEC`, by the recipe that is shipped."""


def test_no_move_and_no_renaming_changes_a_key() -> None:
    """Every image that is there was named by it. Write it anew only where the recipe itself has changed."""
    assert key() == COMMITTED


FILES = ("Dockerfile", *build.SCRIPTS, build.SERVE, build.ALIVE, "tools.txt")


@pytest.mark.parametrize("name", FILES)
def test_another_recipe_is_another_image(name: str, tmp_path: Path) -> None:
    images = shutil.copytree(IMAGES, tmp_path / "images")
    (images / name).write_text((images / name).read_text() + "\nchanged\n")
    assert key(images=images) != key()


@pytest.mark.parametrize("name", FILES)
def test_another_word_in_the_recipe_is_the_same_image(name: str, tmp_path: Path) -> None:
    images = shutil.copytree(IMAGES, tmp_path / "images")
    (images / name).write_text((images / name).read_text().rstrip() + "\n\n# in other words\n")
    assert key(images=images) == key()


@pytest.mark.parametrize("name", [build.SERVE, build.ALIVE])
def test_another_server_script_is_no_other_image_where_nothing_serves(name: str, tmp_path: Path) -> None:
    images = shutil.copytree(IMAGES, tmp_path / "images")
    (images / name).write_text("changed\n")
    assert key(PYTORCH_SPEC, images=images) == key(PYTORCH_SPEC)


def test_an_image_with_vllm_starts_its_server_on_its_port() -> None:
    recipe = build.recipe_of(replace(SPEC, serve=("--seed=0",)), IMAGES)
    assert 'ENTRYPOINT ["/usr/local/bin/serve"]' in recipe
    assert "EXPOSE 8000" in recipe
    assert 'ENV SERVE_ARGS="--shutdown-timeout 20 --seed=0"' in recipe


def test_an_image_with_vllm_is_healthy_while_its_engine_makes_progress() -> None:
    (health,) = (
        line for line in build.recipe_of(SPEC, IMAGES).splitlines() if line.startswith("HEALTHCHECK")
    )
    assert health.endswith('CMD ["/usr/local/bin/alive"]')
    assert "HEALTHCHECK" not in build.recipe_of(PYTORCH_SPEC, IMAGES)


def test_an_image_without_vllm_starts_python_and_claims_no_server() -> None:
    recipe = build.recipe_of(replace(PYTORCH_SPEC, serve=("--seed=0",)), IMAGES)
    assert [line for line in recipe.splitlines() if line.startswith("ENTRYPOINT")] == [
        'ENTRYPOINT ["tini", "-g", "--", "python"]'
    ]
    assert "EXPOSE" not in recipe
    assert "SERVE_ARGS" not in recipe


def test_another_environment_is_another_image() -> None:
    assert key(replace(SPEC, env=(("A", "1"),))) != key(replace(SPEC, env=(("A", "2"),)))


def test_other_default_arguments_are_another_image() -> None:
    assert key(replace(SPEC, serve=("--max-num-seqs", "8"))) != key()


def test_another_wheel_is_another_image() -> None:
    other = replace(LOCK.pins[0], sha256="b" * 64)
    assert key(lock=replace(LOCK, pins=(other,))) != key()


TRIM = Trim(("torch",), ("torch/bin/*", "*.a"), "no image compiles")


def test_other_files_that_are_left_out_are_another_image() -> None:
    trimmed = replace(SPEC, trim=(TRIM,))
    assert len({key(), key(trimmed), key(replace(SPEC, trim=(replace(TRIM, files=("*.a",)),)))}) == 3


def test_why_and_by_which_rule_files_are_left_out_changes_no_image() -> None:
    regrouped = tuple(replace(TRIM, files=(glob,), reason="nothing compiles there") for glob in TRIM.files)
    assert key(replace(SPEC, trim=regrouped[::-1])) == key(replace(SPEC, trim=(TRIM,)))


def test_another_program_that_leaves_files_out_is_no_other_image_where_none_are(tmp_path: Path) -> None:
    images = shutil.copytree(IMAGES, tmp_path / "images")
    (images / build.TRIM).write_text("changed\n")
    assert key(images=images) == key()
    assert key(replace(SPEC, trim=(TRIM,)), images=images) != key(replace(SPEC, trim=(TRIM,)))


def test_another_driver_floor_is_another_image() -> None:
    assert key(driver="580") != key(driver="525.60.13")


def test_a_reason_that_is_reworded_rebuilds_nothing() -> None:
    reworded = replace(LOCK, omitted=(JustifiedRequirement("torchvision", "why"),))
    assert key(lock=reworded) == key()


def test_a_cuda_image_tells_the_container_toolkit_which_driver_it_needs() -> None:
    assert 'ENV NVIDIA_REQUIRE_CUDA="cuda>=13.0"' in build.recipe_of(replace(SPEC, cell=CUDA_CELL), IMAGES)
    assert "NVIDIA" not in build.recipe_of(SPEC, IMAGES)


def test_a_server_on_a_cpu_saves_nothing_that_it_could_not_load_again() -> None:
    """Unless the matrix says otherwise."""
    saved = 'ENV VLLM_USE_AOT_COMPILE="0"'
    assert saved in build.recipe_of(SPEC, IMAGES)
    assert saved not in build.recipe_of(replace(SPEC, cell=CUDA_CELL), IMAGES)
    assert saved not in build.recipe_of(PYTORCH_SPEC, IMAGES)
    own = replace(SPEC, env=(("VLLM_USE_AOT_COMPILE", "1"),))
    assert saved not in build.recipe_of(own, IMAGES)


def test_a_value_cannot_break_out_of_its_line() -> None:
    recipe = build.recipe_of(replace(SPEC, env=(("A", 'x" B="y $HOME \\'),)), IMAGES)
    assert 'ENV A="x\\" B=\\"y \\$HOME \\\\"' in recipe


@given(text(characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"), max_size=60))
def test_any_value_is_one_quoted_word_of_one_line(value: str) -> None:
    """As BuildKit reads it: in double quotes a backslash takes away what the next one of three means."""
    recipe = build.recipe_of(replace(SPEC, env=(("A", value),)), IMAGES)
    line = next(line for line in recipe.split("\n") if line.startswith("ENV A="))
    word = re.fullmatch(r'ENV A="((?:[^"$\\]|\\["$\\])*)"', line)
    assert word is not None
    assert re.sub(r'\\(["$\\])', r"\1", word[1]) == value


def test_labels_name_every_axis() -> None:
    """What is not there is said to be not there."""
    cell = Cell("2.14.0", "cu130", "3.11", None)
    labels = build.labels(replace(SPEC, cell=cell), LOCK, "580")
    assert labels["tagproof.vllm"] == "none"
    assert (labels["tagproof.cuda"], labels["tagproof.driver.min"]) == ("cu130", "580")
    assert build.labels(SPEC, LOCK, None)["tagproof.driver.min"] == "none"


@pytest.mark.parametrize(
    ("cell", "title", "version"),
    [
        (Cell("2.14.0", "cu130", "3.11", None), "PyTorch 2.14.0, Python 3.11 for CUDA 13.0", "2.14.0"),
        (
            Cell("2.13.0", "cpu", "3.11", "0.32.0"),
            "vLLM 0.32.0, PyTorch 2.13.0, Python 3.11 for CPUs",
            "0.32.0",
        ),
    ],
    ids=str,
)
def test_labels_that_others_look_for_say_what_it_is(cell: Cell, title: str, version: str) -> None:
    labels = build.labels(replace(SPEC, cell=cell), LOCK, None)
    assert labels["org.opencontainers.image.title"] == title
    assert labels["org.opencontainers.image.version"] == version


def test_labels_of_the_matrix_are_the_images_and_make_another_one() -> None:
    labelled = replace(SPEC, labels=(("org.opencontainers.image.licenses", "Apache-2.0"),))
    assert build.labels(labelled, LOCK, None)["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert key(labelled) != key()
