"""The model: ids that name every axis, keys that forget nothing, and values that become JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import (
    Base,
    Cell,
    Check,
    Digest,
    Image,
    ImageFinding,
    ImageRef,
    JustifiedRequirement,
    Lock,
    Outcome,
    Pin,
    Reason,
    ReasonCode,
    Repository,
    Severity,
    TagRef,
    canonical,
    key_of,
    to_json,
)
from tests.builders import CPU_CELL

HEX = "0123456789abcdef" * 4
CELL = CPU_CELL


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (CELL, "vllm0.32.0-torch2.13.0-cpu-py3.11"),
        (Cell("2.14.0", "cu130", "3.11", "0.33.0"), "vllm0.33.0-torch2.14.0-cu130-py3.11"),
        (Cell("2.14.0", "cu130", "3.11", None), "torch2.14.0-cu130-py3.11"),
        (Cell("2.14.0", "cpu", "3.11", None, "linux/arm64"), "torch2.14.0-cpu-py3.11-arm64"),
    ],
)
def test_the_id_of_a_cell_names_every_axis_and_is_a_tag(cell: Cell, expected: str) -> None:
    """The same handle everywhere; what is the default is left out."""
    assert cell.id == expected
    assert TagRef(Repository.parse("127.0.0.1:5000/a"), cell.id).tag == expected


def test_only_a_cpu_cell_needs_no_gpu() -> None:
    """CUDA's version is read from the variant."""
    cuda = Cell("2.8.0", "cu118", "3.11", "0.11.0")
    assert (CELL.needs_gpu, CELL.cuda_version) == (False, None)
    assert (cuda.needs_gpu, cuda.cuda_version) == (True, "11.8")


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=4))
def test_a_key_does_not_depend_on_the_order_of_writing(value: dict[str, Any]) -> None:
    """Two orders of one mapping give one key; the canonical form reads back."""
    assert key_of(value) == key_of(dict(reversed(value.items())))
    assert json.loads(canonical(value)) == value


def test_a_key_sees_every_difference() -> None:
    """Numbers are not texts, and lists have an order."""
    assert len({key_of(value) for value in ([1, 2], [2, 1], ["1", 2], [[1], 2], None, "", 0)}) == 7


def test_the_digest_of_a_lock_is_that_of_its_pins() -> None:
    """Order, file name and size say nothing; name, version and hash say all."""
    one, two = Pin("a", "1", HEX, "a.whl", 3), Pin("b", "1", HEX, "b.whl", 4)
    lock = Lock(CELL, (one, two))
    assert lock.digest == Lock(CELL, (Pin("b", "1", HEX, "c.whl", 9), one)).digest
    assert lock.digest != Lock(CELL, (one,)).digest
    assert lock.digest != Lock(CELL, (one, Pin("b", "2", HEX, "b.whl", 4))).digest
    assert (lock.size, lock.versions) == (7, {"a": "1", "b": "1"})


def test_what_a_lock_excuses_has_a_reason() -> None:
    """Omitted names, and the names of what was overridden."""
    lock = Lock(
        CELL,
        (),
        (JustifiedRequirement("torchvision", "r"),),
        (JustifiedRequirement("Cuda-Python==13.0", "r"),),
    )
    assert lock.excused == ("cuda-python", "torchvision")


def test_the_glibc_of_a_base_is_its_suites_or_the_wheels_floor() -> None:
    """Of a stranger's image nothing more is known."""
    ref = ImageRef.parse(f"a.org/b@sha256:{HEX}")
    assert [Base("bookworm", "").glibc, Base("trixie", "").glibc, Base("bookworm", "", ref).glibc] == [
        "2.36",
        "2.41",
        "2.28",
    ]


def test_an_immutable_tag_names_cell_and_build() -> None:
    """Twelve digits of the build key are enough to tell builds of one cell apart."""
    image = Image(CELL, ImageRef.parse(f"a.org/b@sha256:{HEX}"), HEX, "sha256:0")
    assert image.immutable_tag == f"{CELL.id}-0123456789ab"


def test_the_json_of_a_certificates_finding_keeps_its_names() -> None:
    """Certificates that are signed already stay readable: their findings have "what" and "remedy"."""
    finding = ImageFinding(rule="closure", severity=Severity.ERROR, text="gone", why="needed", hint="install")
    names = {"rule": "closure", "severity": "error", "path": ""}
    written = {**names, "what": "gone", "why": "needed", "remedy": "install"}
    assert to_json(finding) == written
    assert ImageFinding.model_validate_json(json.dumps(written)) == finding


def test_plain_values_are_json() -> None:
    """Each of our types has an idea of itself in JSON."""
    value = {
        "cell": CELL,
        "digest": Digest.of(b""),
        "check": Check(name="serve", outcome=Outcome.PASSED, seconds=1),
        "reasons": (Reason(ReasonCode.STALE, "b", "c"),),
    }
    document = json.loads(json.dumps(to_json(value)))
    assert document["cell"]["id"] == CELL.id
    assert document["digest"].startswith("sha256:")
    assert document["check"]["outcome"] == "passed"
    assert document["reasons"] == [{"code": "stale", "text": "b", "hint": "c"}]
