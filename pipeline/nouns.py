"""Every type of the pipeline, in the order in which data flows.

    matrix.yaml -> Matrix -> Spec (one Cell and what the matrix says of it) -> Lock -> Image
                -> Certificate (what its files say)
                -> Trial (what the suite is given) -> Check... -> Record -> Decision -> Publication
                -> Status (what plan and report tell)

Nothing here imports anything of ours. What is read back from files or a registry is a pydantic
model, because a stranger may have written it; all else is a frozen dataclass.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

PROJECT = "tagproof"
"""The one name of this project: distribution, label prefix, predicate URIs, folders."""

RUN_LABEL = f"{PROJECT}.run"
"""Label on every container that we start; its value names the process that owns it."""

VARIANT_INDEX = "https://download.pytorch.org/whl"
"""Where PyTorch keeps builds with a local version part, one index for each: /cpu, /cu126, …"""

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def canonical(value: Any) -> bytes:
    """Bytes of a JSON value that are the same wherever it is written: sorted keys, no blanks, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def key_of(value: Any) -> str:
    """A key derived from inputs: the SHA-256, in hex, of their canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()


# -- names of things in a registry ------------------------------------------------------------------

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(
    r"(?P<host>[A-Za-z0-9.\-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?)/(?P<path>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, order=True)
class Digest:
    """``sha256:`` and 64 hex digits: the identity of a manifest or a blob."""

    value: str

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.value):
            raise ValueError(f"{self.value!r} is no sha256 digest")

    @classmethod
    def of(cls, body: bytes) -> Self:
        """The digest of these bytes."""
        return cls(f"sha256:{hashlib.sha256(body).hexdigest()}")

    @property
    def hex(self) -> str:
        """The 64 hex digits alone."""
        return self.value.removeprefix("sha256:")

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, order=True)
class Repository:
    """Where images live: a registry's host, with port, and a path in it."""

    host: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """``host[:port]/path``. Raises ValueError where a host is missing: there is no default registry."""
        match = _REPOSITORY.fullmatch(text)
        host = match["host"] if match else ""
        if not match or not (":" in host or "." in host or host == "localhost"):
            raise ValueError(f"{text!r} is no repository of the form host[:port]/path, in lower case")
        return cls(host, match["path"])

    @property
    def is_loopback(self) -> bool:
        """Whether the registry is on this machine only."""
        return any(self.host == name or self.host.startswith(f"{name}:") for name in LOOPBACK)

    def at(self, digest: Digest) -> ImageRef:
        """The image of this digest, here."""
        return ImageRef(self, digest)

    def tagged(self, tag: str) -> TagRef:
        """The tag of this name, here."""
        return TagRef(self, tag)

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"


@dataclass(frozen=True, order=True)
class ImageRef:
    """An image by digest: what we run, test, sign, judge and publish."""

    repository: Repository
    digest: Digest

    @classmethod
    def parse(cls, text: str) -> Self:
        """``host/path@sha256:…``. Raises ValueError for anything else, a tag included."""
        name, at, digest = text.partition("@")
        if not at:
            raise ValueError(f"{text!r} names no digest; only host/path@sha256:… says which image")
        return cls(Repository.parse(name), Digest(digest))

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


@dataclass(frozen=True, order=True)
class TagRef:
    """A tag: a hint to a digest, never proof of anything."""

    repository: Repository
    tag: str

    def __post_init__(self) -> None:
        if not _TAG.fullmatch(self.tag):
            raise ValueError(f"{self.tag!r} is no tag: up to 128 of A-Z a-z 0-9 . _ -")

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


# -- what the matrix asks for -----------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Cell:
    """One combination of the axes; its id is the handle for it everywhere."""

    torch: str
    cuda: str
    python: str
    vllm: str | None
    platform: str = "linux/amd64"

    @cached_property
    def id(self) -> str:
        """``vllm0.32.0-torch2.13.0-cpu-py3.11``: nox id, lock name, channel tag, CI job, JUnit suite."""
        parts = [f"vllm{self.vllm}"] if self.vllm else []
        parts += [f"torch{self.torch}", self.cuda, f"py{self.python}"]
        architecture = self.platform.removeprefix("linux/")
        return "-".join([*parts, *([] if architecture == "amd64" else [architecture])])

    @property
    def machine(self) -> str:
        """The processor, as wheels and kernels call it: ``x86_64`` or ``aarch64``."""
        return {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}[self.platform]

    @property
    def needs_gpu(self) -> bool:
        """Whether only a GPU can prove it."""
        return self.cuda != "cpu"

    @property
    def cuda_version(self) -> str | None:
        """``13.0`` for ``cu130``; None for ``cpu``."""
        return f"{self.cuda[2:-1]}.{self.cuda[-1]}" if self.needs_gpu else None

    @property
    def words(self) -> dict[str, str]:
        """What the template of a tag may name, and what it becomes: always something that a tag may hold."""
        system, _, architecture = self.platform.partition("/")
        return {
            "cell": self.id,
            "torch": self.torch,
            "cuda": self.cuda,
            "python": self.python,
            "vllm": self.vllm or "none",
            "platform": f"{system}-{architecture}",
            "arch": architecture,
        }


@dataclass(frozen=True)
class Reasoned:
    """A requirement or a package name, and why it was written down."""

    text: str
    reason: str


@dataclass(frozen=True)
class Base:
    """The operating system under every image: a distribution's suite, or an image that the user names."""

    suite: str
    refresh: str
    image: ImageRef | None = None
    image_glibc: str = "2.28"

    @property
    def glibc(self) -> str:
        """The newest glibc that wheels may ask for. Of the user's image it is what the matrix says of it."""
        return self.image_glibc if self.image else {"bookworm": "2.36", "trixie": "2.41"}[self.suite]


@dataclass(frozen=True)
class Budget:
    """How large an image may become, in bytes: as layers in a registry, and installed. It is in no key."""

    compressed: int | None = None
    installed: int | None = None
    reason: str = ""


RuleName = Literal[
    "closure",
    "symbols",
    "one-cuda",
    "device-code",
    "driver-floor",
    "jit",
    "shadow",
    "contents",
    "config",
    "budget",
    "exceptions",
]
RULE_NAMES: tuple[RuleName, ...] = get_args(RuleName)
"""The rules of a certificate, in the order in which they speak."""


@dataclass(frozen=True)
class Waiver:
    """An exception that the matrix makes: findings of this rule on paths that the glob matches, until a day.

    A finding without a path is about the image as a whole: only ``*`` matches it.
    """

    rule: RuleName
    path: str
    reason: str
    expires: date


@dataclass(frozen=True)
class Spec:
    """A cell, and all that the matrix says of it: the one input of lock and build."""

    cell: Cell
    base: Base
    packages: tuple[str, ...] = ()
    constraints: tuple[Reasoned, ...] = ()
    overrides: tuple[Reasoned, ...] = ()
    omit: tuple[Reasoned, ...] = ()
    system: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    serve: tuple[str, ...] = ()
    archs: tuple[str, ...] = ()
    budget: Budget | None = None
    waivers: tuple[Waiver, ...] = ()

    @property
    def wheel_platform(self) -> str:
        """What wheels may ask for, as uv says it: ``x86_64-manylinux_2_36``."""
        return f"{self.cell.machine}-manylinux_{self.base.glibc.replace('.', '_')}"


@dataclass(frozen=True)
class Policy:
    """What the gate asks of a record today. It is in no key: a new policy voids no proof."""

    required: tuple[str, ...]
    signers: tuple[Path, ...] = ()
    max_age_days: int = 90
    accept_flaky: bool = False
    moves: Literal["forward", "never"] = "forward"


@dataclass(frozen=True)
class Pruned:
    """A combination of the axes that becomes no cell, and why.

    Either the file excludes it, and ``excluded`` is the reason written there, or ``findings`` are all that
    make it impossible. Its vllm is ``auto`` where no release was found for it.
    """

    cell: Cell
    findings: tuple[Finding, ...] = ()
    excluded: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it becomes no cell: one sentence each, without the remedies."""
        return (self.excluded,) if self.excluded else tuple(f"{f.rule}: {f.text}" for f in self.findings)


@dataclass(frozen=True)
class Matrix:
    """matrix.yaml, understood.

    ``tags`` are templates over a cell's words: each makes one more channel of every cell.
    """

    path: Path
    specs: tuple[Spec, ...]
    repository: Repository
    staging: Repository
    aliases: tuple[tuple[str, str], ...]
    policy: Policy
    model: str | None = None
    healthy_seconds: float = 300
    tags: tuple[str, ...] = ()
    pruned: tuple[Pruned, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells, in the order of the file."""
        return tuple(spec.cell for spec in self.specs)

    def aliases_of(self, cell: Cell) -> tuple[str, ...]:
        """The aliases that point to this cell."""
        return tuple(alias for alias, target in self.aliases if target == cell.id)

    def channels_of(self, cell: Cell) -> tuple[str, ...]:
        """The tags that move to a cell's newest proven image: its id, its templates' and its aliases."""
        words = cell.words
        made = (template.format_map(words) for template in self.tags)
        return tuple(dict.fromkeys((cell.id, *made, *self.aliases_of(cell))))


# -- whether a cell can exist -----------------------------------------------------------------------


class Level(StrEnum):
    """How a rule of compatibility judges, from best to worst."""

    OK = "ok"
    WARN = "warn"
    UNKNOWN = "unknown"
    IMPOSSIBLE = "impossible"

    @property
    def rank(self) -> int:
        """0 for the best."""
        return tuple(Level).index(self)


@dataclass(frozen=True)
class Finding:
    """What one rule says of a cell: the values that it compared, where they are from, and the remedy."""

    rule: str
    level: Level
    text: str
    source: tuple[str, ...]
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}" + (f"\nhint: {self.hint}" if self.hint else "")


@dataclass(frozen=True)
class Verdict:
    """What all rules say of a cell, each of which spoke for itself."""

    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst of what was found; of nothing nothing is known."""
        return max({one.level for one in self.findings}, key=lambda level: level.rank, default=Level.UNKNOWN)

    def at(self, *levels: Level) -> tuple[Finding, ...]:
        """The findings of these levels."""
        return tuple(one for one in self.findings if one.level in levels)


@dataclass(frozen=True)
class Conditions:
    """Under what a cell shall run, as far as it is known; what is not asked for is not judged.

    ``archs`` are the architectures that must be covered (``sm_90``), ``gpus`` names of GPUs whose
    architecture must be, ``driver`` is the host's ("550.54.14"). ``glibc`` and ``gcc`` are those of the
    base ("2.36", "12"); ``named_base`` says that it is an image of the user's, whose packages nobody knows.
    ``pins`` maps packages that are pinned beside PyTorch and vLLM to their versions. ``compat`` is the
    CUDA of a forward-compatibility package inside ("13.0").
    """

    archs: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    driver: str | None = None
    glibc: str | None = None
    gcc: str | None = None
    named_base: bool = False
    pins: tuple[tuple[str, str], ...] = ()
    compat: str | None = None


# -- what a cell is made of -------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Pin:
    """One wheel of a lock. ``size`` is in bytes."""

    name: str
    version: str
    sha256: str
    filename: str
    size: int


@dataclass(frozen=True)
class Lock:
    """Every wheel of one cell, by hash, and the names that may be missing or differ, with the reason."""

    cell: Cell
    pins: tuple[Pin, ...]
    omitted: tuple[Reasoned, ...] = ()
    overridden: tuple[Reasoned, ...] = ()

    @property
    def digest(self) -> str:
        """Digest of what the pins say; comments and order do not matter."""
        return f"sha256:{key_of(sorted([p.name, p.version, p.sha256] for p in self.pins))}"

    @property
    def versions(self) -> dict[str, str]:
        """Normalised name to version."""
        return {pin.name: pin.version for pin in self.pins}

    @property
    def excused(self) -> tuple[str, ...]:
        """Names whose broken requirement is known and has a reason."""
        return tuple(sorted({r.text for r in self.omitted} | {_name(r.text) for r in self.overridden}))

    @property
    def size(self) -> int:
        """Bytes to download where no wheel is cached."""
        return sum(pin.size for pin in self.pins)


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


@dataclass(frozen=True)
class Image:
    """An image in staging, by digest, with the key of what it was built from."""

    cell: Cell
    ref: ImageRef
    build_key: str
    lock: str

    @property
    def immutable_tag(self) -> str:
        """The tag of this very build: cell id and the first 12 digits of the build key."""
        return f"{self.cell.id}-{self.build_key[:12]}"


# -- what is read back ------------------------------------------------------------------------------


class Frozen(BaseModel):
    """A value that is read back from a file or a registry: unknown keys and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


Sha = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
LONGEST = 4096
Short = Annotated[str, Field(max_length=LONGEST)]


# -- what its files say -----------------------------------------------------------------------------


def _clipped(value: Any) -> Any:
    """Text from a stranger's image, cut to what a record holds; bytes that are no UTF-8 become ``?``."""
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


Told = Annotated[str, BeforeValidator(_clipped), Field(max_length=LONGEST)]
"""Text that holds what an image says: whatever it says, a certificate can be made of it."""

Reach = Literal["native", "PTX", "none"]
"""How an image reaches a GPU: by machine code, by PTX that the driver compiles, or not at all."""


class Severity(StrEnum):
    """How much a finding on an image matters. Only an error refuses the image."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return tuple(Severity).index(self)


class ImageFinding(Frozen):
    """What one rule says of an image: where, what is wrong, why it matters, and the remedy.

    ``path`` is absolute in the image; empty where it is about the image as a whole. Findings with the
    same ``what`` at several paths are one matter.
    """

    rule: RuleName
    severity: Annotated[Severity, Field(strict=False)]
    path: Told = ""
    what: Told
    why: Told
    remedy: Told


class WaivedFinding(Frozen):
    """A finding that an exception in matrix.yaml covers: its reason, and the day on which it ends."""

    finding: ImageFinding
    reason: Told
    expires: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]


class DriverFloor(Frozen):
    """The oldest Linux driver that runs what is inside ("580"), and why it is that one."""

    version: Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")]
    reason: Told


class LibraryReach(Frozen):
    """One library with device code: the toolkit that compiled it, if it says so, and what it reaches how.

    ``is_core`` marks those that every model runs; a GPU is reached as the worst of them reaches it.
    """

    path: Told
    toolkit: Told = ""
    is_core: bool = False
    reach: dict[str, Reach]


class GpuReach(Frozen):
    """One GPU by name and architecture ("sm_89"): how the image reaches it, and the oldest driver there."""

    name: Told
    arch: Told
    reach: Reach
    driver: Told = ""


class LayerSize(Frozen):
    """A layer: its digest, what made it, its compressed size and that of its visible files, in bytes."""

    digest: Told
    made_by: Told
    compressed: Annotated[int, Field(ge=0)]
    installed: Annotated[int, Field(ge=0)]


class PackageSize(Frozen):
    """An installed package and the bytes of its files."""

    name: Told
    version: Told
    installed: Annotated[int, Field(ge=0)]


class Sizes(Frozen):
    """How large an image is, in bytes: compressed in the registry, and its visible files; also by part."""

    compressed: Annotated[int, Field(ge=0)]
    installed: Annotated[int, Field(ge=0)]
    layers: tuple[LayerSize, ...] = ()
    packages: tuple[PackageSize, ...] = ()


class Certificate(Frozen):
    """What the files of one image say of where it will run, judged without a GPU.

    ``digest`` is empty for a folder. ``repository`` is where the image is to be published, ``inputs`` a
    key of all that it was judged by; both are empty for a stranger's image. ``driver`` is None where
    nothing inside uses CUDA. ``libraries`` by ``architectures`` is the table of device code. ``facts`` is
    the day on which the facts of compatibility were read, ``created`` an RFC 3339 time in UTC.
    """

    schema_number: Literal[1] = Field(1, alias="schema")
    name: Told
    repository: Told = ""
    inputs: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]
    platform: Told = ""
    findings: tuple[ImageFinding, ...]
    waived: tuple[WaivedFinding, ...] = ()
    cuda: Told = ""
    driver: DriverFloor | None = None
    architectures: tuple[Told, ...] = ()
    libraries: tuple[LibraryReach, ...] = ()
    gpus: tuple[GpuReach, ...] = ()
    sizes: Sizes
    facts: Told
    tool: Told
    created: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    @property
    def passed(self) -> bool:
        """True where nothing was found that would keep the image from running."""
        return not self.at(Severity.ERROR)

    def at(self, severity: Severity) -> tuple[ImageFinding, ...]:
        """The findings of this severity."""
        return tuple(one for one in self.findings if one.severity is severity)


# -- what was seen ----------------------------------------------------------------------------------


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
    "compile",
    "limits",
    "shutdown",
]
CHECKS: tuple[CheckName, ...] = get_args(CheckName)
"""Every check that the suite knows; those that a cell has are required unless the matrix says less."""

_OF_A_SERVER = {"serve", "complete", "chat", "stream", "limits", "shutdown"}
_OF_PYTORCH_ALONE = {"compile"}


def checks_of(vllm: str | None) -> tuple[CheckName, ...]:
    """The checks of a cell with this vLLM, or with none, in the order in which they run.

    Where there is no server to ask, PyTorch itself has to be ``correct``, in a ``batch`` too.
    """
    of_others = _OF_PYTORCH_ALONE if vllm else _OF_A_SERVER
    return tuple(name for name in CHECKS if name not in of_others)


class Outcome(StrEnum):
    """What became of one check. Inconclusive: the machine failed, the image is not to blame."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


class Check(Frozen):
    """One check of the suite: its name, outcome and seconds; on a failure what was expected and seen."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    outcome: Annotated[Outcome, Field(strict=False)]
    seconds: Annotated[float, Field(ge=0)]
    expected: Short = ""
    seen: Short = ""


class Host(Frozen):
    """Where a record was made. ``hardware`` is the class that enters the proof key."""

    hardware: Annotated[str, Field(pattern=r"^(cpu|sm_\d+[a-z]?)-[a-z0-9_]+$")]
    system: Short
    cpu: Short
    memory_bytes: Annotated[int, Field(ge=0)]
    engine: Short = ""
    gpus: tuple[Short, ...] = ()
    driver: Short = ""


class Expected(Frozen):
    """What the image must say of itself, from cell and lock. ``vllm`` is None where it has to have none."""

    torch: str
    cuda: str | None
    python: str
    vllm: str | None
    pins: dict[str, str]
    excused: tuple[str, ...] = ()
    labels: dict[str, str] = {}


class ImageTarget(Frozen):
    """An image to try, by digest, run by the engine with its own entrypoint."""

    kind: Literal["image"] = "image"
    ref: str


class PythonTarget(Frozen):
    """A bare-metal environment to try, by the path of its interpreter."""

    kind: Literal["python"] = "python"
    python: str


class Trial(Frozen):
    """All that the suite is given. Paths are of this machine; seconds are wall clock."""

    cell: str
    run: str
    target: Annotated[ImageTarget | PythonTarget, Field(discriminator="kind")]
    expected: Expected
    model: str
    serve: tuple[str, ...] = ()
    env: dict[str, str] = {}
    gpu: bool = False
    healthy_seconds: float = 300
    answer_seconds: float = 60
    shutdown_seconds: float = 30


class Result(StrEnum):
    """What a record says. Warned: it passed, but only after it had failed for the same proof key."""

    PASSED = "PASSED"
    WARNED = "WARNED"
    FAILED = "FAILED"


class Record(Frozen):
    """What the suite saw of one digest. Times are RFC 3339, UTC."""

    schema_number: Literal[1] = Field(1, alias="schema")
    cell: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,100}$")]
    repository: Short
    digest: Sha
    build_key: Key
    proof_key: Key
    lock: Sha
    suite: Sha
    model: Sha
    host: Host
    started: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    finished: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    attempt: Annotated[int, Field(ge=1)]
    checks: tuple[Check, ...]
    result: Annotated[Result, Field(strict=False)]

    model_config = ConfigDict(populate_by_name=True)  # the rest is inherited

    def named(self, outcome: Outcome) -> tuple[str, ...]:
        """The names of the checks with this outcome."""
        return tuple(check.name for check in self.checks if check.outcome == outcome)


@dataclass(frozen=True)
class Proof:
    """A record whose signature held, who signed it, and the digest of the manifest that carries it."""

    record: Record
    signer: str
    manifest: Digest

    @property
    def subject(self) -> Digest:
        """The image that it is about."""
        return Digest(self.record.digest)


@dataclass(frozen=True)
class Certified:
    """A certificate whose signature held, who signed it, and the digest of the manifest that carries it."""

    certificate: Certificate
    signer: str
    manifest: Digest

    @property
    def subject(self) -> Digest:
        """The image that it is about."""
        return Digest(self.certificate.digest)


# -- what was decided and done ----------------------------------------------------------------------


@dataclass(frozen=True)
class Reason:
    """Why something is refused: a word to test for, a sentence to read, and the remedy."""

    code: str
    text: str
    hint: str

    def __str__(self) -> str:
        return f"{self.text}\nhint: {self.hint}"


@dataclass(frozen=True)
class Decision:
    """Whether a digest may carry a tag; if not, every reason. By this proof and this certificate."""

    reasons: tuple[Reason, ...]
    proof: Proof | None = None
    certified: Certified | None = None

    @property
    def allowed(self) -> bool:
        """True where there is a proof and nothing against it."""
        return self.proof is not None and not self.reasons


@dataclass(frozen=True)
class Publication:
    """The tags that carry one proven digest, and which of them had to be written."""

    cell: Cell
    ref: ImageRef
    tags: tuple[str, ...]
    written: tuple[str, ...]


class State(StrEnum):
    """How far a cell has come."""

    IMPOSSIBLE = "impossible"
    UNLOCKED = "unlocked"
    UNBUILT = "unbuilt"
    UNPROVEN = "unproven"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    PROVEN = "proven"
    PUBLISHED = "published"


class Stage(StrEnum):
    """The stages of the path, in order; a step of a plan and a line of progress name one."""

    LOCK = "lock"
    FETCH = "fetch"
    BASE = "base"
    BUILD = "build"
    CERTIFY = "certify"
    VERIFY = "verify"
    PUBLISH = "publish"


@dataclass(frozen=True)
class Estimate:
    """What a build would take, in bytes, judged by the sizes of the locked wheels.

    ``download`` is what this machine has yet to fetch, ``disk`` what the build writes here at most;
    ``compressed`` and ``installed`` are the image's size in a registry and when it is unpacked.
    """

    download: int
    disk: int
    compressed: int
    installed: int


@dataclass(frozen=True)
class Observed:
    """What lock files, staging and the destination say of one cell. ``tags`` maps tag to digest."""

    spec: Spec
    lock: Lock | None
    image: Image | None
    proofs: tuple[Proof, ...] = ()
    tags: tuple[tuple[str, Digest], ...] = ()
    certificates: tuple[Certified, ...] = ()


@dataclass(frozen=True)
class Status:
    """One row of plan and report.

    ``pending`` says why a step cannot be done here ("needs a GPU"); ``estimate`` is there where a
    build is among the steps.
    """

    cell: Cell
    state: State
    reasons: tuple[Reason, ...] = ()
    steps: tuple[Stage, ...] = ()
    pending: str = ""
    image: Image | None = None
    record: Record | None = None
    tags: tuple[str, ...] = ()
    seconds: tuple[tuple[Stage, float], ...] = ()
    log_tail: str = ""
    again: str = ""
    verdict: Verdict | None = None
    estimate: Estimate | None = None


def plain(value: Any) -> Any:
    """JSON's idea of one of our values: what ``--json`` prints."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Digest | Repository | ImageRef | TagRef):
        return str(value)
    if isinstance(value, Cell):
        return {"id": value.id, **asdict(value)}
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value
