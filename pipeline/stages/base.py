"""The base image: made once from the distribution's packages, kept in staging, used by digest."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters import buildx
from pipeline.formats.recipes import without_prose
from pipeline.model import PROJECT, Base, Digest, ImageRef, Repository, Spec, TagRef, canonical, key_of
from pipeline.model.errors import EngineError, RegistryError
from pipeline.model.platforms import AMD64
from pipeline.model.systems import SYSTEMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.adapters.registry import Registry

RECIPE = ("base.Dockerfile", "base.packages")
PACKAGES = f"application/vnd.{PROJECT}.packages.v1+json"
"""Artifact type of the list of packages that is attached to a base image."""

_CLEAN_UP_SECONDS = 15.0
"""For mmdebstrap to take down what it made, before it is asked once more."""

_HOST_TRACES = ("etc/resolv.conf", "etc/hostname", "var/cache/ldconfig/aux-cache", "var/log/bootstrap.log")


def key(spec: Spec, images: Path) -> str:
    """The base key: suite, refresh date, packages, platform, and what the files of the recipe say.

    As in a cell's id, linux/amd64 goes without saying: so bases that were made before keep their keys.
    """
    files = {name: without_prose(name, (images / name).read_text("utf-8")) for name in RECIPE}
    platform = [] if spec.cell.platform == AMD64 else [spec.cell.platform]
    return key_of([spec.base.suite, spec.base.refresh, sorted(spec.system), files, *platform])


def home(spec: Spec, images: Path, staging: Repository) -> TagRef:
    """Where in staging the base of this cell is kept: ``<staging>/base:<base key>``."""
    return Repository(staging.host, f"{staging.path}/base").tagged(key(spec, images))


def epoch(base: Base) -> int:
    """The refresh date at midnight UTC, in seconds since 1970: what the images say of their creation."""
    return int(datetime.fromisoformat(base.refresh).replace(tzinfo=UTC).timestamp())


def make(
    spec: Spec,
    images: Path,
    target: TagRef,
    *,
    snapshotter: bool,
    progress: buildx.Progress,
) -> tuple[ImageRef, bytes]:
    """Make the base and push it; returns it by digest, with the JSON list of its packages.

    A distribution's mirror moves, so the same key made on another day may hold other packages;
    what counts from here on is the digest. Raises EngineError where mmdebstrap or the build fails.
    """
    with tempfile.TemporaryDirectory(prefix="base-") as scratch:
        here = Path(scratch)
        progress("mmdebstrap")
        _bootstrap(spec, images, here)
        shutil.copyfile(images / "base.Dockerfile", here / "Dockerfile")
        recipe = buildx.Recipe(here / "Dockerfile", here, spec.cell.platform, epoch(spec.base))
        digest = buildx.build(recipe, target, snapshotter=snapshotter, cache=True, progress=progress)
        packages = dict(line.split(" ", 1) for line in (here / "packages").read_text().splitlines())
        return target.repository.at(digest), canonical(packages)


def describe(registry: Registry, base: ImageRef, packages: bytes) -> Digest:
    """Attach the list of packages to the base, beside it in staging."""
    manifest = registry.manifest(base.digest)
    if manifest is None:
        raise RegistryError(f"{base} is gone", hint="run the same again: it is made anew")
    return registry.attach(manifest.descriptor, PACKAGES, packages, {})


def _packages(images: Path) -> list[str]:
    lines = (images / "base.packages").read_text(encoding="utf-8").splitlines()
    words = (line.partition("#")[0].strip() for line in lines)
    return [word for word in words if word]


def _bootstrap(spec: Spec, images: Path, here: Path) -> None:
    """Write ``base.tar``, the root file system, and ``packages``, the list of what is in it."""
    if not shutil.which("mmdebstrap"):
        raise EngineError(
            "a base image is made by mmdebstrap, which is not on PATH",
            hint="install mmdebstrap (Debian, Ubuntu), or name `base: image: …@sha256:…` in matrix.yaml",
        )
    suite, system = spec.base.suite, SYSTEMS[spec.base.suite]
    query = "dpkg-query --show --showformat='${Package} ${Version}\\n'"
    listing = f'chroot "$1" {query} > {shlex.quote(str(here / "packages"))}'
    removals = " ".join(f'"$1/{trace}"' for trace in _HOST_TRACES)
    command = [
        "mmdebstrap", "--quiet", "--variant=minbase", f"--components={system.components}",
        f"--architectures={spec.cell.platform.removeprefix('linux/')}",
        f"--include={','.join([*_packages(images), *spec.system])}",
        "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f"--customize-hook={listing}",
        f"--customize-hook=rm -f {removals}",
        suite, str(here / "base.tar"),
    ]  # fmt: skip
    environment = {
        "SOURCE_DATE_EPOCH": str(epoch(spec.base)),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "TMPDIR": tempfile.gettempdir(),
    }
    code, output = _run_to_its_end(command, environment)
    if code:
        raise EngineError(
            f"mmdebstrap could not make a {suite} base for {spec.cell.platform}:\n{output.strip()[-2000:]}",
            hint=f"the distribution's mirror must be reachable, and {system.keyring} installed here",
        )


def _run_to_its_end(command: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and words of a program that takes down its own mounts when it is interrupted.

    It has a session of its own, so that Ctrl-C reaches it through us alone, and we wait for it. Its
    parents ignore the signal and clean up when their children end of it, so all of them must get it.
    """
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as program:
        try:
            output, _ = program.communicate()
        except BaseException:
            while program.poll() is None:
                with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    os.killpg(program.pid, signal.SIGTERM)
                    program.communicate(timeout=_CLEAN_UP_SECONDS)
            raise
    return program.returncode, output
