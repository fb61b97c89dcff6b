"""Good values, each written down once: a cell, its lock and its image, a record and a certificate of it.

A builder takes by keyword what the test is about. Whatever else it makes is such that the gate allows the
image at `NOW`. Keys and types are checked as when they are read from a registry, so an
override with a misspelt name is an error.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.model import (
    KINDS,
    Attempt,
    Base,
    Cell,
    Certificate,
    Certified,
    Check,
    Declared,
    Digest,
    Exposure,
    Host,
    Image,
    ImageRef,
    Life,
    Lock,
    Outcome,
    Part,
    Pin,
    Policy,
    Present,
    Proof,
    Record,
    Rehearsal,
    Rehearsed,
    Repository,
    Result,
    Scan,
    Scanned,
    Sizes,
    Spec,
    TagMove,
    Threat,
    Transition,
    rehearsal_versions_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

CPU_CELL = Cell(torch="2.13.0", cuda="cpu", python="3.11", vllm="0.32.0")
CUDA_CELL = replace(CPU_CELL, cuda="cu130")
PYTORCH_CELL = replace(CPU_CELL, vllm=None)
BASE = Base("bookworm", "2026-11-20")
REPOSITORY = Repository.parse("127.0.0.1:5000/tagproof")
STAGING = Repository.parse("127.0.0.1:5000/tagproof-staging")
LOCK, MODEL = (f"sha256:{digit * 64}" for digit in "76")
INPUTS = "9" * 64
HOST = Host(hardware="cpu-amd64", system="Linux", cpu="a processor", memory_bytes=2**35)
NUMPY = Present("PyPI", "numpy", "1.0", "numpy 1.0")
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
CERTIFIED, STARTED, FINISHED = (f"2030-01-02T03:0{minute}:05Z" for minute in (1, 2, 3))


def rfc3339(moment: datetime) -> str:
    """A moment as records and certificates have it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now() -> str:
    """The present second, as records and certificates have it."""
    return rfc3339(datetime.now(UTC))


def spec(cell: Cell = CPU_CELL, **changes: Any) -> Spec:
    """A cell as the matrix has it, on a base of Debian."""
    return replace(Spec(cell, BASE), **changes)


def pin(name: str, version: str = "1.0", *, size: int = 10) -> Pin:
    """A wheel that runs everywhere."""
    return Pin(name, version, "a" * 64, f"{name}-{version}-py3-none-any.whl", size)


def lock(*pins: Pin, cell: Cell = CPU_CELL, **changes: Any) -> Lock:
    """The lock of a cell, with these wheels."""
    return replace(Lock(cell, pins), **changes)


def image(cell: Cell = CPU_CELL, *, digest: str = f"sha256:{'a' * 64}", **changes: Any) -> Image:
    """An image of this cell in staging."""
    return replace(Image(cell, ImageRef(STAGING, Digest(digest)), "b" * 64, LOCK), **changes)


IMAGE = image()


def check(name: str, outcome: Outcome = Outcome.PASSED, **changes: Any) -> Check:
    """A check of the suite, passed unless another outcome is given."""
    return Check.model_validate({"name": name, "outcome": outcome, "seconds": 1.5} | changes)


def passed(names: Iterable[str]) -> tuple[Check, ...]:
    """These checks, each passed."""
    return tuple(map(check, names))


LOST = Attempt(host=HOST, started=STARTED, finished=FINISHED, check="chat", seen="no space left")
"""An attempt in which the machine failed."""


def record(of: Image = IMAGE, **changes: Any) -> Record:
    """A record of this image: its server answered, at the first attempt."""
    good = {
        "schema": 1,
        "cell": of.cell.id,
        "repository": str(REPOSITORY),
        "digest": str(of.ref.digest),
        "build_key": of.build_key,
        "proof_key": "c" * 64,
        "lock": of.lock,
        "model": MODEL,
        "host": HOST,
        "started": STARTED,
        "finished": FINISHED,
        "attempt": 1,
        "checks": passed(["serve"]),
        "result": Result.PASSED,
    }
    checks = changes.get("checks", good["checks"])
    versions = {} if "suite" in changes else {"versions": {check.name: 1 for check in checks} or {"serve": 1}}
    return Record.model_validate(good | versions | changes)


def certificate(of: Image = IMAGE, **changes: Any) -> Certificate:
    """A certificate of this image, without findings."""
    good = {
        "schema": 1,
        "name": str(of.ref),
        "repository": str(REPOSITORY),
        "inputs": INPUTS,
        "digest": str(of.ref.digest),
        "findings": (),
        "sizes": Sizes(compressed=1, installed=1),
        "facts": "2030-01-01",
        "tool": "tests",
        "created": CERTIFIED,
    }
    return Certificate.model_validate(good | changes)


def rehearsal(of: Image = IMAGE, **changes: Any) -> Rehearsal:
    """A rehearsal of this image by the checks of today, each passed."""
    versions = rehearsal_versions_of(of.cell.vllm)
    good = {
        "schema": 1,
        "cell": of.cell.id,
        "repository": str(REPOSITORY),
        "digest": str(of.ref.digest),
        "build_key": of.build_key,
        "lock": of.lock,
        "versions": versions,
        "host": HOST,
        "started": STARTED,
        "finished": FINISHED,
        "checks": passed(versions),
    }
    return Rehearsal.model_validate(good | changes)


def transition(of: Image = IMAGE, **changes: Any) -> Transition:
    """A publication of this image under the tag of its cell."""
    good = {
        "schema": 1,
        "life": Life.PUBLISHED,
        "repository": str(REPOSITORY),
        "digest": str(of.ref.digest),
        "cell": of.cell.id,
        "tags": {of.cell.id: TagMove(before=None, after=str(of.ref.digest))},
        "reason": "proven",
        "actor": "somebody@here",
        "at": FINISHED,
    }
    return Transition.model_validate(good | changes)


def declared(of: Image = IMAGE, **changes: Any) -> Declared:
    """A signed transition of this image, as it was read back."""
    return Declared(transition(of, **changes), "signer", Digest(f"sha256:{'7' * 64}"))


def rehearsed(of: Image = IMAGE, **changes: Any) -> Rehearsed:
    """A signed rehearsal of this image, as it was read back."""
    return Rehearsed(rehearsal(of, **changes), "signer", Digest(f"sha256:{'9' * 64}"))


def exposure(name: str = "CVE-2030-1", **changes: Any) -> Exposure:
    """A weakness of numpy, rated high, told of long ago, with a version that has it fixed."""
    good = Exposure(name, (name,), NUMPY, Threat.HIGH, "1.1", "2020-01-02", "")
    return replace(good, **changes)


def scan(of: Image = IMAGE, **changes: Any) -> Scan:
    """A scan of now that finds nothing."""
    digest = str(of.ref.digest)
    good = Scan(digest, digest, "signer", 2, LOCK, FINISHED, (), made=FINISHED, scanner=("tagproof", "1.0"))
    return replace(good, **changes)


def scanned(of: Image = IMAGE, **changes: Any) -> Scanned:
    """The same, signed."""
    return Scanned(scan(of, **changes), "signer", Digest(f"sha256:{'5' * 64}"))


def part(of: Image = IMAGE, **changes: Any) -> Part:
    """One part of a day with a GPU, all of which passed."""
    good = {
        "schema": 1,
        "name": "serving",
        "cell": of.cell.id,
        "digest": of.ref.digest.value,
        "inputs": INPUTS,
        "host": HOST,
        "finished": FINISHED,
        "seconds": 12.5,
        "checks": passed(("serves",)),
    }
    return Part(**{**good, **changes})


def policy(*required: str, **changes: Any) -> Policy:
    """A policy that requires these checks of every kind of cell."""
    return replace(Policy(required=dict.fromkeys(KINDS, required)), **changes)


def proof(of: Image = IMAGE, **changes: Any) -> Proof:
    """A signed record of this image, as it was read back."""
    return Proof(record(of, **changes), "signer", Digest(f"sha256:{'d' * 64}"))


def certified(of: Image = IMAGE, **changes: Any) -> Certified:
    """A signed certificate of this image, as it was read back."""
    return Certified(certificate(of, **changes), "signer", Digest(f"sha256:{'f' * 64}"))
