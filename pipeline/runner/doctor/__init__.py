"""What this host can do: everything that the work needs, looked at, and nothing started or changed for it.

bounded     looks that may hang, each with its time
engines     the container engine, BuildKit, GPU access
machine     processor, memory, GPUs
storage     disks and registries
sources     indexes of packages, what makes a base
keys        the key that signs
prospects   what follows for each cell
inside      the same question inside an image, or of an environment: why is CUDA not there
"""

from __future__ import annotations

import platform
from functools import partial
from typing import TYPE_CHECKING

from pipeline.adapters import host
from pipeline.compat import gpus_here, shipped
from pipeline.model.errors import TagproofError
from pipeline.model.examinations import Aspect, Examination, Standing
from pipeline.runner.doctor import engines, keys, machine, sources, storage
from pipeline.runner.doctor.bounded import LateError, Look
from pipeline.runner.doctor.prospects import Seen, prospect
from pipeline.stages import lock as locks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.compat.gpus_here import HostSight
    from pipeline.model import Lock, Repository, Spec
    from pipeline.runner.services import Services

__all__ = ["examine"]

ENGINE_SECONDS = 10.0
REGISTRY_SECONDS = 6.0


def examine(services: Services | None, repositories: Sequence[Repository] = ()) -> Examination:
    """How this host stands, within some seconds, whatever of it hangs.

    ``services`` are those of a matrix, where there is one; ``repositories`` are looked at beside its own.
    Raises UsageError where a lock cannot be read.
    """
    specs, of_cells = _matrix(services)
    locks_ = tuple(of_cells.values())
    absent = sources.missing(locks_, services.folders if services else ())
    there = _repositories(services, repositories)

    engine = Look(engines.engine, ENGINE_SECONDS)
    gpus = Look(machine.gpus, machine.GPU_SECONDS + 2)
    registries = {f"{at}": Look(partial(storage.registry, at), REGISTRY_SECONDS) for at in there}
    pages = ("", *sources.variant_pages(absent))
    indexes = {url: Look(partial(sources.index, url), sources.INDEX_SECONDS) for url in pages}

    engine_look = _engine(engine)
    sight, of_gpus = _gpus(gpus)
    where = storage.places(engine_look.facts, there)
    aspects = (
        *engine_look.aspects,
        *storage.disks(where, locks_),
        *(_settled(look, "registry", at, storage.HANGS) for at, look in registries.items()),
        *(
            sources.as_far_as_needed(_settled(look, "index", url or "the index", sources.NO_INDEX), absent)
            for url, look in indexes.items()
        ),
        *sources.base(specs),
        *of_gpus,
        *engines.gpu_access(engine_look, has_gpu=sight is None or sight.has_gpu),
        keys.key(services),
        machine.processor(),
        machine.memory(),
    )
    seen = Seen(aspects, sight, where)
    prospects = tuple(prospect(spec, of_cells.get(spec.cell.id), seen) for spec in specs)
    return Examination(f"{host.system()}, {platform.machine()}", aspects, prospects)


def _matrix(services: Services | None) -> tuple[tuple[Spec, ...], dict[str, Lock]]:
    """The cells of the matrix, and the locks that there are, by cell."""
    if services is None:
        return (), {}
    read = ((spec, locks.read(spec, services.settings.locks)) for spec in services.matrix.specs)
    return services.matrix.specs, {spec.cell.id: lock for spec, lock in read if lock}


def _repositories(services: Services | None, more: Sequence[Repository]) -> tuple[Repository, ...]:
    """The repositories to look at: of those on this machine one for each registry."""
    own = (services.matrix.staging, services.matrix.repository) if services else ()
    of = {one.host if one.is_loopback else f"{one}": one for one in (*own, *more)}
    return tuple(of.values())


def _engine(look: Look[engines.EngineLook]) -> engines.EngineLook:
    try:
        return look.result()
    except LateError:
        what = f"it does not answer within {look.seconds:.0f} s"
        return engines.EngineLook((Aspect("engine", Standing.UNKNOWN, what, engines.HANGS),))


def _gpus(look: Look[HostSight]) -> tuple[HostSight | None, tuple[Aspect, ...]]:
    """What the GPUs tell, and how they stand."""
    try:
        sight = look.result()
    except (LateError, machine.NoGpuAnswerError) as error:
        what = str(error) or "the driver does not answer"
        hint = "`dmesg | grep -i -e nvrm -e xid`; a driver that hangs needs a reboot"
        return None, (Aspect("driver", Standing.UNKNOWN, what, hint),)
    return sight, gpus_here.aspects(sight, shipped())


def _settled(look: Look[Aspect], name: str, what: str, hint: str) -> Aspect:
    """What a look found; one that is late, or failed, could not find out."""
    try:
        return look.result()
    except LateError:
        text = f"{what or 'it'} does not answer within {look.seconds:.0f} s"
        return Aspect(name, Standing.UNKNOWN, text, hint)
    except TagproofError as error:
        return Aspect(name, Standing.UNKNOWN, error.what, error.hint)
