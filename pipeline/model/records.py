"""What was seen when an image ran: each check, the machine, and the record of all of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from pipeline.model.basis import Basis
from pipeline.model.cells import Cell, Kind  # noqa: TC001 - pydantic reads it
from pipeline.model.diagnoses import Diagnosis  # noqa: TC001 - pydantic reads it
from pipeline.model.expectations import Expectations  # noqa: TC001 - pydantic reads it
from pipeline.model.frozen import BoundedText, Frozen, Key, Sha
from pipeline.model.references import Digest, ImageRef
from pipeline.model.speeds import Speed, speeds_of
from pipeline.model.user_tests import USER_TEST
from pipeline.model.versions import CHECK_VERSIONS, FIRST_CHECKS, Name, Version, version_of

CheckName = Literal[
    "versions",
    "cuda",
    "imports",
    "serve",
    "complete",
    "chat",
    "stream",
    "correct",
    "batch",
    "device",
    "compile",
    "train",
    "checkpoint",
    "generate",
    "limits",
    "openai",
    "speed",
    "alive",
    "memory",
    "drain",
    "cache",
    "offline",
    "any_user",
    "read_only",
    "shutdown",
    "exact",
    "preemption",
    "overload",
    "exposure",
    "tools",
    "compilers",
    "quantized",
    "lora",
    "embed",
    "multimodal",
    "long_context",
]
CHECKS: tuple[CheckName, ...] = get_args(CheckName)
"""Every check that the suite knows."""

_OF_A_SERVER = {
    *("serve", "complete", "chat", "stream", "limits", "openai", "speed", "alive"),
    *("memory", "drain", "exposure", "tools"),
    *("cache", "offline", "any_user", "read_only", "shutdown", "preemption", "overload"),
}
_OF_MODES = {"compilers", "quantized", "lora", "embed", "multimodal", "long_context"}
_OF_PYTORCH_ALONE = {"compile", "train", "checkpoint", "generate"}
_OF_A_GPU = {"device"}


def checks_of(cell: Cell) -> tuple[CheckName, ...]:
    """The checks of a cell of this kind, in the order in which they run."""
    return checks_of_kind(cell.kind)


def checks_of_kind(kind: Kind) -> tuple[CheckName, ...]:
    """The checks of all cells of a kind, in the order in which they run.

    Where there is no server to ask, PyTorch itself has to be ``correct``, in a ``batch`` too.
    """
    of_others = _OF_PYTORCH_ALONE if kind.startswith("vllm") else _OF_A_SERVER | _OF_MODES
    if kind.endswith("cpu"):
        of_others = of_others | _OF_A_GPU
    return tuple(name for name in CHECKS if name not in of_others)


def versions_of(cell: Cell) -> dict[Name, Version]:
    """The versions of these checks in this suite, as a record of today names them."""
    return {name: CHECK_VERSIONS[name] for name in checks_of(cell)}


OPTIONAL: frozenset[CheckName] = frozenset(
    {"generate", "quantized", "lora", "embed", "multimodal", "long_context"}
)
"""Checks of what not every vLLM or machine can do: where one was not run, the gate does without it."""


Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
"""A moment, as records write it: RFC 3339, UTC, in whole seconds."""


class Outcome(StrEnum):
    """What became of one check.

    Inconclusive: the machine failed, the image is not to blame. Not run: it cannot be here, or the matrix
    leaves it out; ``seen`` says why. Neither is a pass.
    """

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not-run"


MAX_FACTS = 16
ANSWERS = "answers"
"""The fact of ``correct`` that holds, for each prompt, a digest of its answer, with blanks between them."""
KEPT = "kept"
"""The fact of a check that names the folder with what is known of its servers, from that of their log."""


class Check(Frozen):
    """A check of the suite or a user's test: name, outcome, seconds; of a failure what was expected and seen.

    ``facts`` are what it found out beside that, by name, such as the attention that a server chose.
    ``diagnosis`` is what the server's log, or ``seen``, says of the cause of a failure, where that is
    recognised. Checks of before have neither, and are written as they were signed.
    """

    name: Annotated[str, Field(pattern=rf"^([a-z][a-z0-9_]{{0,39}}|{USER_TEST})$")]
    outcome: Annotated[Outcome, Field(strict=False)]
    seconds: Annotated[float, Field(ge=0)]
    expected: BoundedText = ""
    seen: BoundedText = ""
    facts: Annotated[dict[Name, BoundedText], Field(max_length=MAX_FACTS)] = Field(default_factory=dict)
    diagnosis: Diagnosis | None = None

    @model_serializer(mode="wrap")
    def _as_signed(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        later = {"facts", "diagnosis"}
        return {name: value for name, value in write(self).items() if name not in later or value}


class Host(Frozen):
    """Where a record was made. ``hardware`` is the class that enters the proof key."""

    hardware: Annotated[str, Field(pattern=r"^(cpu|sm_\d+[a-z]?)-[a-z0-9_]+$")]
    system: BoundedText
    cpu: BoundedText
    memory_bytes: Annotated[int, Field(ge=0)]
    engine: BoundedText = ""
    gpus: tuple[BoundedText, ...] = ()
    driver: BoundedText = ""


class ImageTarget(Frozen):
    """An image to try, by digest, or by its id in the engine's store (``sha256:…``).

    It is run with its own entrypoint; of an image that has none for a server, ``server`` is the command that
    starts one. ``python`` is the interpreter that it serves with, where the entrypoint names another or none.
    """

    kind: Literal["image"] = "image"
    ref: str
    server: tuple[str, ...] = ()
    python: str = ""

    @property
    def image(self) -> ImageRef | str:
        """What the engine runs. Raises ValueError where it is named by no digest."""
        return str(Digest(self.ref)) if self.ref.startswith("sha256:") else ImageRef.parse(self.ref)


class PythonTarget(Frozen):
    """A bare-metal environment to try, by the path of its interpreter."""

    kind: Literal["python"] = "python"
    python: str


class Trial(Frozen):
    """All that the suite is given. Paths are of this machine; seconds are wall clock.

    A trial that ``rehearses`` is one without the GPU that the cell needs: a double of the driver stands in
    for it, which defines ``driver_symbols``, all that the image asks of the driver's libraries.
    ``gpu_memory`` is the share of a GPU's memory that a server takes, and of a machine's on a CPU;
    ``resident_bytes`` is the most that its processes may hold of this machine's. ``left_out`` are checks that
    are not to be run, each with the reason. ``tests`` is the folder of a user's tests, if there is one, and
    ``prompts`` are files of prompts with the answers that the model gives.
    """

    cell: Cell
    run: str
    target: Annotated[ImageTarget | PythonTarget, Field(discriminator="kind")]
    expected: Expectations
    model: str
    serve: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    gpu_memory: float = 0.9
    resident_bytes: int | None = None
    left_out: dict[str, str] = Field(default_factory=dict)
    tests: str | None = None
    prompts: tuple[str, ...] = ()
    rehearses: bool = False
    driver_symbols: tuple[str, ...] = ()
    healthy_seconds: float = 600
    answer_seconds: float = 60
    shutdown_seconds: float = 30


class Result(StrEnum):
    """What a record says. Warned: it passed, but only after it had failed for the same proof key."""

    PASSED = "PASSED"
    WARNED = "WARNED"
    FAILED = "FAILED"


class Parent(Frozen):
    """The image of a cell that another was made from: its lowest layers are this one's, untouched.

    ``image`` is its reference by digest, ``layers`` are how many it has.
    """

    image: BoundedText
    cell: BoundedText
    layers: Annotated[int, Field(ge=1)]


class Attempt(Frozen):
    """An attempt in which the machine failed, so that nothing was found out: ``check`` could not be done.

    It is empty where the suite itself did not end. ``seen`` is what was wrong. Times are RFC 3339, UTC.
    """

    host: Host
    started: Time
    finished: Time
    check: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]{0,39})?$")]
    seen: BoundedText


MAX_ATTEMPTS = 10
"""How often a proof is tried at the most, where the machine fails."""


class Record(Frozen):
    """What the suite saw of one digest. Times are RFC 3339, UTC.

    ``replay`` is the command that tries just this again, ``parent`` what the image was made from, if that is
    one of ours; a record without them is written as those of before.
    ``inconclusive`` are the attempts just before it in which the machine failed: they are no failures of the
    image, and ``attempt`` counts them.
    ``versions`` are those of the checks. Records of before have ``suite`` instead, a digest of the suite's
    files: they are read as they were signed, and stand for the first version of each check of their day.
    ``tests`` is the digest of a user's tests, where there were any; their names are not among the versions.
    """

    schema_number: Literal[1] = Field(1, alias="schema")
    cell: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,100}$")]
    repository: BoundedText
    digest: Sha
    build_key: Key
    proof_key: Key
    lock: Sha
    versions: dict[Name, Version] = Field(default_factory=dict)
    suite: Sha | None = None
    model: Sha
    tests: Sha | None = None
    host: Host
    started: Time
    finished: Time
    attempt: Annotated[int, Field(ge=1)]
    checks: tuple[Check, ...]
    result: Annotated[Result, Field(strict=False)]
    replay: BoundedText = ""
    parent: Parent | None = None
    inconclusive: Annotated[tuple[Attempt, ...], Field(max_length=MAX_ATTEMPTS)] = ()

    model_config = ConfigDict(populate_by_name=True)  # the rest is inherited

    @model_validator(mode="after")
    def _says_by_what(self) -> Self:
        if bool(self.versions) == bool(self.suite):
            raise ValueError("a record names the versions of its checks or, of before, the suite")
        return self

    @model_serializer(mode="wrap")
    def _as_signed(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what it does not have, which is one of two at least: so it is written as it was signed."""
        absent = {"suite" if self.versions else "versions"}
        optional = ("tests", "replay", "parent", "inconclusive")
        absent |= {name for name in optional if not getattr(self, name)}
        return {name: value for name, value in write(self).items() if name not in absent}

    @property
    def basis(self) -> Basis:
        """What it was made with beside the suite's own checks."""
        return Basis(self.model, self.tests)

    @property
    def age(self) -> tuple[datetime, int]:
        """What orders records of one image: when the suite ended, and at which attempt."""
        return datetime.fromisoformat(self.finished), self.attempt

    def version_of(self, check: str) -> int:
        """The version in which a check was made; 0 where it was not."""
        return version_of(check, self.versions, FIRST_CHECKS)

    @property
    def answers(self) -> tuple[str, ...]:
        """A digest of the answer to each prompt; none in a record of before."""
        told = (check.facts.get(ANSWERS, "") for check in self.checks if check.name == "correct")
        return tuple(next(told, "").split())

    @property
    def speeds(self) -> dict[str, Speed]:
        """What the check ``speed`` measured, by name; nothing where it did not pass."""
        measured = {check.name: check.facts for check in self.checks if check.outcome is Outcome.PASSED}
        return speeds_of(measured.get("speed", {}))

    def named(self, outcome: Outcome) -> tuple[str, ...]:
        """The names of the checks with this outcome."""
        return tuple(check.name for check in self.checks if check.outcome == outcome)
