"""The container engine of this host: whether it answers, builds, and gives containers a GPU."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.adapters import buildx
from pipeline.adapters.engine import reaching
from pipeline.model import shown
from pipeline.model.errors import EngineError
from pipeline.model.examinations import Aspect, Standing
from pipeline.model.platforms import platform_of

if TYPE_CHECKING:
    from pipeline.adapters.engine import Facts

ANSWER_SECONDS = 4.0
"""For one answer of the engine; one that is well needs some milliseconds."""

HANGS = "`sudo systemctl restart docker`; `journalctl -u docker` says what it waits for"
_INSTALL = "`./run` installs one; or apt-get install docker.io docker-cli docker-buildx"


@dataclass(frozen=True)
class EngineLook:
    """What was seen of the engine: ``facts`` only where it answers; ``gpu_access`` is why it gives no GPU."""

    aspects: tuple[Aspect, ...]
    facts: Facts | None = None
    gpu_access: EngineError | None = None
    way: str = ""
    """How it gives a container the GPUs, in words; empty where it gives none."""


def engine() -> EngineLook:
    """The engine that the environment names, or this machine's; none is started."""
    address = reaching.address()
    if unreached := _unreached(address):
        return EngineLook((unreached,))
    from pipeline.adapters.engine import Engine  # noqa: PLC0415 - its client takes 0.2 s to load

    try:
        with Engine.connect(timeout=ANSWER_SECONDS) as client:
            facts = client.facts()
            try:
                access = client.gpu_access()
            except EngineError as error:
                return EngineLook(_aspects(address, facts), facts, gpu_access=error)
    except EngineError as error:
        hint = HANGS if address.startswith("unix://") else error.hint  # something listens on that socket
        return EngineLook((Aspect("engine", Standing.UNKNOWN, error.what, hint),))
    way = "NVIDIA's runtime" if access.way == "runtime" else f"CDI: {', '.join(access.devices)}"
    return EngineLook(_aspects(address, facts), facts, way=way)


def _unreached(address: str) -> Aspect | None:
    """Why nothing answers at a socket of this machine; None where something may."""
    trouble, name = reaching.trouble(address), shown(address)
    if trouble == "absent":
        return _absent(name)
    if trouble == "closed":
        user = os.environ.get("USER") or "$USER"
        what = f"an engine is at {name}, and this user may not speak with it"
        return _broken(what, f"`sudo usermod -aG docker {user}`, then log in again")
    if trouble == "silent":
        what = f"{name} is there, and no engine listens on it"
        return _broken(what, "`sudo systemctl start docker`; `journalctl -u docker` says why it ended")
    return None


def _absent(name: str) -> Aspect:
    others = reaching.others()
    if os.environ.get("DOCKER_HOST"):
        return _broken(f"DOCKER_HOST names {name}, and nothing is there", "unset DOCKER_HOST")
    if context := shown(reaching.context()):
        what = f"no engine is at {name}, and the docker command uses the context {context}"
        host = f"docker context inspect {context} --format '{{{{.Endpoints.docker.Host}}}}'"
        return _broken(what, f'export DOCKER_HOST="$({host})"')
    if others:
        what = f"no engine is at {name}, and one of this user is at {others[0]}"
        return _broken(what, f"export DOCKER_HOST={others[0]}")
    if shutil.which("docker"):
        what = f"docker is installed, and its engine does not run: there is no {name}"
        return _broken(what, "`sudo systemctl start docker`, or `./run`, which starts one")
    return Aspect("engine", Standing.ABSENT, "no container engine is here", _INSTALL)


def _broken(what: str, hint: str) -> Aspect:
    return Aspect("engine", Standing.BROKEN, what, hint)


def _aspects(address: str, facts: Facts) -> tuple[Aspect, ...]:
    """The engine, its store, its mirrors, and what builds."""
    kind = f"{facts.product} {facts.version}{', rootless' if facts.is_rootless else ''}"
    answering = _by_context(f"{kind} at {shown(address)}")
    mirrors = ", ".join(map(shown, facts.mirrors))
    pulling = [Aspect("mirrors", Standing.GOOD, f"of Docker Hub: {mirrors}")] if mirrors else []
    return (answering, _store(facts), *pulling, _build_kit(facts))


def _by_context(text: str) -> Aspect:
    """The engine that answers; images are built by another where the command line's context names one."""
    context = shown(reaching.context())
    if not context:
        return Aspect("engine", Standing.GOOD, text)
    what = f"{text}; the docker command, which builds, uses the engine of the context {context}"
    return Aspect("engine", Standing.LIMITED, what, "docker context use default")


def _store(facts: Facts) -> Aspect:
    if facts.snapshotter:
        return Aspect("image store", Standing.GOOD, "containerd's: layers are zstd, and pushed by BuildKit")
    what = "the classic one: layers are gzip, and the digest is known after the push only"
    if facts.product != "Docker":
        return Aspect("image store", Standing.LIMITED, f"that of {facts.product}: layers are gzip")
    hint = (
        '`"features": {"containerd-snapshotter": true}` in /etc/docker/daemon.json, then '
        "`systemctl restart docker`"
    )
    return Aspect("image store", Standing.LIMITED, what, hint)


def _build_kit(facts: Facts) -> Aspect:
    """What builds images: the builder that ``docker buildx`` would use; none is started.

    Podman has no BuildKit of its own: https://github.com/podman-container-tools/podman/issues/17836
    """
    if not shutil.which("docker"):
        what = "there is no `docker` command, by which images are built"
        return Aspect("buildkit", Standing.ABSENT, what, _INSTALL)
    try:
        builder = buildx.builder(ANSWER_SECONDS)
    except EngineError as error:
        return Aspect("buildkit", Standing.BROKEN, error.what, error.hint)
    if facts.product == "Podman" and builder.driver == "docker":
        hint = "docker buildx create --use --driver docker-container"
        return Aspect("buildkit", Standing.BROKEN, "Podman has none of its own", hint)
    platform = platform_of(os.uname().machine)
    text = f"{builder.driver or 'a builder'}, {builder.status or 'not started yet'}"
    platforms = [name for name in builder.platforms if name.count("/") == 1]
    if platforms:
        text += f", builds for {', '.join(platforms)}"
    if platforms and platform not in platforms:
        return Aspect("buildkit", Standing.BROKEN, f"{text}, not for {platform}", "docker buildx use default")
    return Aspect("buildkit", Standing.GOOD, text)


def gpu_access(look: EngineLook, *, has_gpu: bool) -> tuple[Aspect, ...]:
    """How a container gets a GPU; where the host has none, an engine that gives none is not broken."""
    if look.facts is None:
        return ()
    if look.gpu_access is None:
        return (Aspect("gpu access", Standing.GOOD, f"containers get GPUs by {look.way}"),)
    if not has_gpu:
        return (Aspect("gpu access", Standing.ABSENT, "the engine gives none, and this machine has none"),)
    return (Aspect("gpu access", Standing.BROKEN, look.gpu_access.what, look.gpu_access.hint),)
