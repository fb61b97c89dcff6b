"""The nouns: names that cannot be mistaken, keys that forget nothing, records that refuse what is odd."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.model import (
    Base,
    Cell,
    Check,
    Decision,
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
    Record,
    Repository,
    Severity,
    TagRef,
    canonical,
    key_of,
    to_json,
)
from tests import builders

HEX = "0123456789abcdef" * 4
CELL = Cell("2.13.0", "cpu", "3.11", "0.32.0")
RECORD: dict[str, Any] = json.loads(json.dumps(to_json(builders.record())))


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


@pytest.mark.parametrize("text", ["a.example.org/b", "localhost/b", "a:5000/b/c-d_e.f", "[::1]:5000/b"])
def test_a_repository_reads_back_as_it_is_written(text: str) -> None:
    """Host and path are told apart, and put together again."""
    assert str(Repository.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["vllm", "team/vllm", "a.example.org/B", "a.example.org/b:tag", "a.example.org/", ""]
)
def test_a_repository_names_its_host_and_no_tag(text: str) -> None:
    """There is no default registry, so that nothing goes where nobody said."""
    with pytest.raises(ValueError, match="is no repository"):
        Repository.parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a.org/x/../y", "is no path"),
        ("a.org/x//y", "is no path"),
        ("a.org/x/./y", "is no path"),
        ("a.org//x", "is no path"),
        ("a.org/x/", "is no path"),
        ("a.org/x-", "is no path"),
        ("a.org/x...y", "is no path"),
        ("a.org/x___y", "is no path"),
        ("a.org/x._y", "is no path"),
        ("a.org/%2e%2e/y", "is no path"),
        ("a.org/x?y", "is no path"),
        ("a.org/ü", "is no path"),
        ("a..b/c", "is no host"),
        ("a.b./c", "is no host"),
        (".a.b/c", "is no host"),
        ("-a.b/c", "is no host"),
        ("a-.b/c", "is no host"),
        ("a_b.c/d", "is no host"),
        ("A.org/b", "is no host"),
        ("ü.org/b", "is no host"),
        (f"{'a' * 70}.org/b", "is no host"),
        ("user:word@a.org/b", "is no host"),
        ("user@a.org/b", "is no host"),
        ("https://a.org/b", "is no host"),
        ("a.org:/b", "is no host"),
        ("a.org:0/b", "is no host"),
        ("a.org:05000/b", "is no host"),
        ("a.org:\u0665/b", "is no host"),
        ("a.org:65536/b", "no port 65536"),
        ("a.org:70000/b", "no port 70000"),
        (f"a.org:{'1' * 4400}/b", "more than 255"),
        (f"a.org/{'b' * 250}", "more than 255"),
        ("127.0.0.256/b", "256"),
        ("127.1:5000/b", "127.1"),
        ("0177.0.0.1:5000/b", "0177"),
        ("[::1/b", "is no host"),
        ("[]:5000/b", "is no host"),
        ("[1::2::3]:5000/b", "1::2::3"),
        ("[::1%25lo]:5000/b", "is no host"),
        ("[::1]:99999/b", "no port"),
        ("127.0.0.1:5000/a\n", "is no path"),
        ("::error::x/y", "no host"),
    ],
)
def test_what_no_registry_could_hold_is_no_repository(text: str, why: str) -> None:
    """The grammar is that of the OCI distribution specification, and of host names; the message says why."""
    with pytest.raises(ValueError, match="is no repository") as refused:
        Repository.parse(text)
    assert why in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "ghcr.io/a/b",
        "a.org:65535/b",
        "xn--bcher-kva.example/a__b/c--d/e.f_g",
        "192.0.2.7/b",
        "[2001:db8::1]:443/b",
    ],
)
def test_what_registries_hold_is_a_repository(text: str) -> None:
    """Every form that the specification allows."""
    assert str(Repository.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:5000/a", True),
        ("localhost/a", True),
        ("127.0.0.1.example.org/a", False),
        ("a.org/a", False),
    ],
)
def test_loopback_is_this_machine_only(text: str, expected: bool) -> None:
    """A host that begins like an address of loopback is not one."""
    assert Repository.parse(text).is_loopback is expected


def test_an_image_is_named_by_digest_never_by_tag() -> None:
    """The two are different types, and neither parses as the other."""
    ref = ImageRef.parse(f"127.0.0.1:5000/a@sha256:{HEX}")
    assert str(ref) == f"127.0.0.1:5000/a@sha256:{HEX}"
    with pytest.raises(ValueError, match="names no digest"):
        ImageRef.parse("127.0.0.1:5000/a:latest")
    with pytest.raises(ValueError, match="is no sha256 digest"):
        ImageRef.parse("127.0.0.1:5000/a@sha256:abc")


@pytest.mark.parametrize("tag", ["", ".a", "-a", "a b", "a/b", "a\n", "a+b", "a" * 129])
def test_what_no_registry_takes_is_no_tag(tag: str) -> None:
    """It is refused here, not by the registry."""
    with pytest.raises(ValueError, match="is no tag"):
        TagRef(Repository.parse("127.0.0.1:5000/a"), tag)


def test_a_digest_is_that_of_the_bytes() -> None:
    """Known answer: the empty body."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Digest.of(b"").hex == empty


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


def record(**changes: Any) -> Record:
    """A record as it is read back, with these changes."""
    return Record.model_validate_json(json.dumps({**RECORD, **changes}))


def test_a_record_reads_back_as_it_was_written() -> None:
    """JSON out, JSON in, the same value, under the key that others read."""
    assert Record.model_validate_json(json.dumps(to_json(record()))) == record()
    assert to_json(record())["schema"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"digest": "latest"},
        {"cell": "../a"},
        {"cell": f"{CELL.id}\n"},
        {"attempt": 0},
        {"attempt": "1"},
        {"result": "passed"},
        {"started": "yesterday"},
        {"extra": 1},
        {"checks": [{"name": "serve", "outcome": "skipped", "seconds": 1}]},
        {"checks": [{"name": "serve", "outcome": "passed", "seconds": -1}]},
        {"checks": [{"name": "Serve!", "outcome": "passed", "seconds": 1}]},
        {"repository": "a" * 5000},
    ],
)
def test_a_record_that_a_stranger_bent_is_refused(changes: dict[str, Any]) -> None:
    """Unknown keys, wrong types and odd values are no record."""
    with pytest.raises(ValidationError):
        record(**changes)


def test_checks_are_named_by_outcome() -> None:
    """Passed, failed and inconclusive are three things."""
    found = record(
        checks=[{"name": o, "outcome": o, "seconds": 0} for o in ("passed", "failed", "inconclusive")]
    )
    assert [found.named(outcome) for outcome in Outcome] == [("passed",), ("failed",), ("inconclusive",)]


def test_a_decision_without_a_proof_allows_nothing() -> None:
    """Absence is refusal, even where there is no reason against it."""
    assert not Decision(()).allowed
    assert not Decision((Reason(ReasonCode.STALE, "b", "c"),)).allowed


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
    told = json.loads(json.dumps(to_json(value)))
    assert told["cell"]["id"] == CELL.id
    assert told["digest"].startswith("sha256:")
    assert told["check"]["outcome"] == "passed"
    assert told["reasons"] == [{"code": "stale", "text": "b", "hint": "c"}]
