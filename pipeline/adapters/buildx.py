"""BuildKit, through ``docker buildx``: a recipe and its contexts in, a pushed digest out."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from pipeline.adapters import environ
from pipeline.model import Digest, shown
from pipeline.model.errors import DiskError, EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.model import TagRef

_TAIL_LINES = 40
_LETTING_GO = 10
"""Seconds that BuildKit gets to let go of what it made."""
_LOOKS = 3
"""How often in a row it must list nothing: while it lets go, it may list none for a moment."""
_STEP = re.compile(r"#\d+ \[(?P<step>\S+ \d+/\d+)\]")
_NO_SPACE = os.strerror(errno.ENOSPC).lower()
"""What the engine's disk says when it is full; said of a push, it is the registry's."""
_RECORD = re.compile(r"[a-z0-9]{25}\*?")
_PUSHED = re.compile(r"digest: (sha256:[0-9a-f]{64})")

Progress = Callable[[str], None]
"""Called with the name of the build step that has just begun."""


@dataclass(frozen=True)
class Recipe:
    """What is built: a Dockerfile, named contexts (folders), arguments, labels and a platform.

    ``epoch``, in seconds since 1970, is what the image says of its creation, so that the same
    recipe is the same digest.
    """

    dockerfile: Path
    context: Path
    platform: str
    epoch: int
    contexts: Mapping[str, Path] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def platforms() -> frozenset[str]:
    """The platforms that BuildKit builds for, by itself or by emulating; none where it does not say.

    Raises EngineError where docker has no buildx, or no engine answers it.
    """
    done = _docker("buildx", "inspect", "--bootstrap")
    if done.returncode:
        raise EngineError(
            f"BuildKit does not answer: {done.stderr.strip() or done.stdout.strip()}",
            hint="start the engine, install its plugin (Debian and Ubuntu: docker-buildx), or use ./run",
        )
    listed = (line.partition(":")[2] for line in done.stdout.splitlines() if line.startswith("Platforms:"))
    return frozenset(name.strip(" *") for names in listed for name in names.split(",") if name.strip())


@dataclass(frozen=True)
class Builder:
    """What builds: its driver (``docker``, ``docker-container``), its status, and the platforms it says."""

    driver: str
    status: str
    platforms: tuple[str, ...]


def builder(seconds: float) -> Builder:
    """The builder that would be used; nothing is started for it.

    Raises EngineError where docker has no buildx, or it does not answer within these seconds.
    """
    done = _docker("buildx", "inspect", seconds=seconds)
    if done.returncode:
        raise EngineError(
            f"docker has no BuildKit: {shown(done.stderr.strip() or done.stdout.strip())}",
            hint="install its plugin: apt-get install docker-buildx (with Docker's own packages: "
            "docker-buildx-plugin)",
        )
    fields = dict(_FIELD.findall(done.stdout))
    platforms = (name.strip(" *") for name in fields.get("Platforms", "").split(","))
    return Builder(fields.get("Driver", ""), fields.get("Status", ""), tuple(filter(None, platforms)))


_FIELD = re.compile(r"^(Driver|Status|Platforms):[ \t]*(.*)$", re.MULTILINE)


def build(recipe: Recipe, target: TagRef, *, snapshotter: bool, cache: bool, progress: Progress) -> Digest:
    """Build and push to ``target``; returns the digest of the manifest that was pushed.

    With the containerd image store BuildKit exports zstd layers and pushes by itself; the classic
    store takes gzip, and the digest is what its push answers. Raises EngineError with the last lines of the
    build where it fails, DiskError where the engine's disk filled up; then what the build had left there of
    its cache is given back.
    """
    before = _cache_records()
    with tempfile.TemporaryDirectory() as scratch:
        metadata = Path(scratch) / "metadata.json"
        command = ["docker", "buildx", "build", *_options(recipe), "--metadata-file", str(metadata)]
        command += [] if cache else ["--no-cache"]
        command += ["--output", _output(target, snapshotter=snapshotter), str(recipe.context)]
        try:
            _run(command, recipe, progress)
        except DiskError:
            _give_back(before)
            raise
        if not snapshotter:
            return _push(target)
        return _built(metadata)


class _Metadata(BaseModel):
    """What we read of the file in which buildx describes what it built."""

    digest: Annotated[str, Field(alias="containerimage.digest")]


def _built(metadata: Path) -> Digest:
    """The digest of what was built. Raises EngineError where buildx does not say."""
    try:
        return Digest(_Metadata.model_validate_json(metadata.read_bytes()).digest)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"buildx does not say what it built: {shown(error)}", hint="look whether another buildx is in use"
        ) from error


def _options(recipe: Recipe) -> list[str]:
    options = [
        "--provenance=false",
        "--progress=plain",
        "--platform",
        recipe.platform,
        "--file",
        str(recipe.dockerfile),
    ]
    for name, folder in recipe.contexts.items():
        options += ["--build-context", f"{name}={folder}"]
    for name, value in {**recipe.arguments, "SOURCE_DATE_EPOCH": str(recipe.epoch)}.items():
        options += ["--build-arg", f"{name}={value}"]
    for name, value in sorted(recipe.labels.items()):
        options += ["--label", f"{name}={value}"]
    return options


def _output(target: TagRef, *, snapshotter: bool) -> str:
    if not snapshotter:
        return f"type=docker,name={target}"
    return f"type=image,name={target},push=true,oci-mediatypes=true,compression=zstd,force-compression=true"


def _run(command: list[str], recipe: Recipe, progress: Progress) -> None:
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    reported: set[str] = set()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment()
    ) as build:
        try:
            for line in build.stdout or ():
                tail.append(line.rstrip())
                if (step := _STEP.match(line)) and step["step"] not in reported:
                    reported.add(step["step"])
                    progress(step["step"])
        except BaseException:
            build.terminate()
            build.communicate()  # until it has ended: BuildKit stops the step that runs
            raise
    if build.returncode:
        if any(_NO_SPACE in line and "push" not in line for line in tail):
            raise DiskError(
                f"the engine's disk filled up during the build of {recipe.dockerfile.name}: {_NO_SPACE}",
                hint="no tag names what was pushed, and the cache of this build is given back; free some "
                "room (`docker system df` says what takes it), then run it again",
            )
        raise EngineError(
            f"the build of {recipe.dockerfile.name} failed:\n" + "\n".join(tail),
            hint="the lines above are the build's own; `docker info` tells whether the engine is well",
        )


def _cache_records() -> frozenset[str]:
    """The ids of the records of the engine's build cache; none where it does not tell them."""
    lines = _docker("buildx", "du").stdout.splitlines()
    words = [line.split() for line in lines]
    return frozenset(row[0].rstrip("*") for row in words if row and _RECORD.fullmatch(row[0]))


def _give_back(before: frozenset[str]) -> None:
    """Remove what is not of before from the build cache, as far as nothing else uses it.

    BuildKit lets go of a build's records only a moment after it has ended, and until then may list none.
    """
    deadline, empty = time.monotonic() + _LETTING_GO, 0
    while empty < _LOOKS and time.monotonic() < deadline:
        time.sleep(0.5)
        if left := _cache_records() - before:
            _docker("buildx", "prune", "--all", "--force", "--filter", f"id=^({'|'.join(sorted(left))})$")
        empty = 0 if left else empty + 1


def _push(target: TagRef) -> Digest:
    done = _docker("push", str(target))
    digest = _PUSHED.search(done.stdout)
    if done.returncode or not digest:
        raise EngineError(
            f"{target} could not be pushed: {done.stderr.strip()}", hint="is the registry writable?"
        )
    return Digest(digest[1])


def _docker(*arguments: str, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["docker", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"`docker {' '.join(arguments)}` does not end within {seconds:.0f} s",
            hint="`docker info` and the engine's own log tell whether it is well",
        ) from error
    except FileNotFoundError as error:
        raise EngineError(
            "there is no `docker` command on PATH", hint="install Docker, or use ./run"
        ) from error


def _environment() -> dict[str, str]:
    kept = environ.of(environ.HOME, environ.NETWORK, environ.LOGINS, environ.ENGINE)
    return kept | {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
