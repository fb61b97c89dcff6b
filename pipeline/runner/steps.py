"""The stages as the runner takes them: each gets a cell's state and returns the next one."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.adapters import local_registry
from pipeline.adapters.recipe import IMAGES
from pipeline.adapters.registry import Registry
from pipeline.formats import units
from pipeline.model import (
    ImageTarget,
    Publication,
    Result,
    Stage,
    Trial,
)
from pipeline.model.errors import EngineError, MachineError
from pipeline.runner import declaring
from pipeline.runner.candidates import with_lock
from pipeline.runner.gatekeeping import gate_of
from pipeline.runner.observing import judged, observe_destination, observe_image
from pipeline.runner.trying import Tried, now, tried
from pipeline.stages import attest, audit, base, build, fetch, publish, verify
from pipeline.stages import lock as locks
from pipeline.stages import rehearse as rehearsals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.model import (
        Basis,
        Cell,
        CellState,
        Expectations,
        Goal,
        Image,
        Lock,
        Pin,
        Reason,
        Repository,
        Sizes,
    )
    from pipeline.report.progress import ProgressReporter
    from pipeline.runner.services import Services


_REPLAY = ("python", "-m", "pipeline", "verify", "--replay")
"""The command that tries an image again by the newest record beside it."""


@dataclass(frozen=True)
class Progress:
    """Where a stage tells how far it is with one cell."""

    reporter: ProgressReporter
    cell: Cell
    stage: Stage | Goal

    def __call__(self, text: str) -> None:
        """One line of what is going on."""
        self.reporter.note(self.cell.id, f"{self.stage}: {text}")


def lock(services: Services, state: CellState, _progress: Progress) -> CellState:
    """Resolve and write the cell's lock, whether there is one or not; an image of it may be there already."""
    made = locks.make(
        state.spec,
        builds=compat.local_builds(state.cell, state.spec.packages),
        folders=services.folders,
    )
    locks.write(state.spec, made, services.settings.locks)
    return observe_image(services, with_lock(services, state, made, fresh=services.settings.fresh))


def fetch_wheels(services: Services, state: CellState, progress: Progress) -> CellState:
    """Bring every wheel of the lock, and uv for the build, into the cache."""
    lock = lock_of(state)
    pins = [*lock.pins, _tool(state.cell)]
    build.refuse_full_disk(lock, fetch.bytes_missing(pins, services.cache), services.room())
    fetch.fetch(state.spec, pins, services.cache, services.folders, progress.reporter.bytes)
    return state


def make_base(services: Services, state: CellState, progress: Progress) -> CellState:
    """Make the base and push it into staging."""
    spec = state.spec
    home = base.home(spec, IMAGES, services.matrix.staging)
    with _pushing(services, progress, home.repository):
        ref, packages = base.make(
            spec,
            IMAGES,
            home,
            snapshotter=services.builder.snapshotter,
            progress=progress,
        )
        base.describe(Registry(ref.repository), ref, packages)
    services.bases[home] = ref
    return replace(state, base=ref)


def build_image(services: Services, state: CellState, progress: Progress) -> CellState:
    """Build the cell's image into staging, and sign how; of the same digest something was signed, maybe."""
    from pipeline.runner import documenting  # noqa: PLC0415 - a plan writes no documents

    if state.base is None:
        raise AssertionError("the plan makes a base before an image")
    tool, started = _tool(state.cell), now()
    with _pushing(services, progress, services.matrix.staging):
        image = build.build(
            state.spec,
            lock_of(state),
            state.base,
            tool,
            images=IMAGES,
            cache=services.cache,
            staging=services.matrix.staging,
            driver=compat.driver_floor(state.cell.cuda),
            snapshotter=services.builder.snapshotter,
            fresh=services.settings.fresh,
            progress=progress,
        )
    span = (started, now())
    built = observe_image(services, replace(state, image=image))
    return documenting.attach_provenance(services, built, tool, span, progress)


def certify(services: Services, state: CellState, progress: Progress) -> CellState:
    """Judge the files of the cell's image; sign what was found and what it is made of, beside the image.

    The certificate comes last: whoever is ended before it has the image certified, and described, once more.
    """
    from pipeline.runner import audits, documenting  # noqa: PLC0415 - a plan only reads what they make

    image = _image_of(state)
    expected = replace(_expectations_of(state), last=_last_sizes(services, state.cell))
    found, bill = audits.of_cell(image.ref, expected, state.spec.waivers)
    certificate = found.model_copy(
        update={
            "repository": str(services.matrix.repository),
            "inputs": audit.inputs_of(image.ref.digest, expected, state.spec.waivers),
        }
    )
    state = documenting.attach_bills(services, state, bill, progress)
    links = replace(state.attestations.links, lost=())  # only who runs an image may do without them
    bundle = attest.certificates.sign(certificate, services.signing_key, previous=links)
    return _attach(services, state, bundle)


def rehearse(services: Services, state: CellState, progress: Progress) -> CellState:
    """Try all of the cell's image that needs no GPU; sign what was seen, and keep it beside the image."""
    state = _with_driver_symbols(services, state, progress)
    image = _image_of(state)
    trial = _trial(services, state).model_copy(
        update={"rehearses": True, "driver_symbols": _driver_symbols(state)}
    )
    state, done = _tried(services, state, trial, progress)
    if state.is_inconclusive:
        return state
    rehearsal = rehearsals.rehearsal(
        image,
        services.matrix.repository,
        done.checks,
        host=services.here,
        started=done.started,
        finished=now(),
    )
    links = replace(state.attestations.links, lost=())  # only a proof may do without what is gone
    bundle = attest.rehearsals.sign(rehearsal, services.signing_key, previous=links)
    state = _attach(services, state, bundle)
    return state if rehearsal.has_passed else carry_veto(services, state)


def prove(services: Services, state: CellState, progress: Progress) -> CellState:
    """Run the suite on the cell's image; sign what it saw, and keep it beside the image."""
    image, basis = _image_of(state), services.basis_for_proof(state.cell)
    state, done = _tried(services, state, _trial(services, state), progress)
    if state.is_inconclusive:
        return state
    refuse_changed(services, state.cell, basis)
    record = verify.record(
        image,
        services.matrix.repository,
        done.checks,
        earlier=[proof.record for proof in state.attestations.proofs],
        basis=basis,
        host=services.here,
        started=done.started,
        finished=now(),
        inconclusive=done.inconclusive,
        replay=shlex.join([*_REPLAY, str(image.ref), *services.settings.given]),
    )
    links = state.attestations.links
    bundle = attest.sign(record, services.signing_key, previous=links)
    state = _attach(services, state, bundle)
    return carry_veto(services, state) if record.result is Result.FAILED else state


def give_tags(services: Services, state: CellState, progress: Progress) -> CellState:
    """Give a proven image its tags; of one that is not proven, the failures are carried there instead."""
    if state.image is None or state.decision is None:
        return state
    if not state.decision.allowed:
        return carry_veto(services, state)
    work = brought(services, state, progress)
    done = publish.complete(work) if isinstance(work, publish.Work) else work
    return published(services, state) if isinstance(done, Publication) else replace(state, refusals=(done,))


def brought(services: Services, state: CellState, progress: Progress) -> publish.Work | Reason:
    """A proven image in the destination, ready for its tags; or why it may have none, not even now."""
    gate = gate_of(services, state)
    if gate is None or state.image is None or state.decision is None:
        raise AssertionError("the plan publishes an image that the gate has judged")
    if frozen := _frozen(services, state, datetime.now(UTC)):
        return frozen
    from pipeline.runner import documenting  # noqa: PLC0415 - a plan writes no documents

    documenting.attach_summary(services, state, progress)
    return publish.begin(
        state.image,
        state.decision,
        services.holding(state.image),
        services.destination,
        state.channels,
        moves=services.matrix.moves,
        evidence=services.evidence,
        gate=gate,
        announce=declaring.announcer(services, state.cell.id, progress),
        signatures=services.signatures,
        on_step=progress,
    )


def published(services: Services, state: CellState) -> CellState:
    """The state of an image that has got its tags, with the one that had the cell's channel before."""
    before = dict(state.tags).get(state.cell.id)
    replaced = before if before != _image_of(state).ref.digest else None
    return replace(observe_image(services, state), replaced=replaced)


STEPS: Mapping[Stage, Callable[[Services, CellState, Progress], CellState]] = {
    Stage.LOCK: lock,
    Stage.FETCH: fetch_wheels,
    Stage.BASE: make_base,
    Stage.BUILD: build_image,
    Stage.CERTIFY: certify,
    Stage.REHEARSE: rehearse,
    Stage.VERIFY: prove,
    Stage.PUBLISH: give_tags,
}


# -- parts of more than one step --------------------------------------------------------------------


def carry_veto(services: Services, state: CellState) -> CellState:
    """What was seen to fail is said wherever people find the image, not only where it was tried."""
    image, destination = _image_of(state), services.destination
    if destination.digest_of(str(image.ref.digest)) is None:
        return state
    publish.carry(image, services.holding(image), destination, services.evidence)
    return observe_destination(services, state)


def _frozen(services: Services, state: CellState, now: datetime) -> Reason | None:
    """Why no tag moves at this time, where one would; what has its tags may get its evidence back."""
    digest, named = _image_of(state).ref.digest, dict(state.tags)
    tags = (_image_of(state).immutable_tag, *state.channels)
    if all(named.get(tag) == digest for tag in tags):
        return None
    return publish.frozen(state.cell, services.matrix.freezes, now)


def _tried(services: Services, state: CellState, trial: Trial, progress: Progress) -> tuple[CellState, Tried]:
    """Every check of a trial of the cell's image; the state is inconclusive where the machine failed."""
    done = tried(services, trial, progress)
    _release(services, _image_of(state), progress)
    state = replace(state, log_tail=done.log_tail)
    if done.troubles:
        state = replace(state, refusals=done.troubles, is_inconclusive=True)
    return state, done


def refuse_changed(services: Services, cell: Cell, basis: Basis) -> None:
    """Raise MachineError where a user's tests are others now than before they ran: nobody knows which did."""
    if services.basis_of(cell) != basis:
        what = f"{cell.id}: tests or prompts of yours were changed while the suite ran"
        raise MachineError(
            what, hint="nothing is signed; leave them as they are while it runs, and run it again"
        )


def _release(services: Services, image: Image, progress: Progress) -> None:
    """Remove the image from the engine: the registry has it, and here it would fill the disk.

    A busy engine may not do it in time; that takes nothing from what the checks saw.
    """
    try:
        services.engine.release(image.ref)
    except EngineError as error:
        progress(f"{error.what}; it stays there until it is removed: docker image rm {image.ref}")


def _trial(services: Services, state: CellState) -> Trial:
    return Trial(
        cell=state.cell,
        run=services.settings.run,
        target=ImageTarget(ref=str(_image_of(state).ref)),
        expected=_expectations_of(state),
        model=services.model_of(state.cell),
        healthy_seconds=services.matrix.healthy_seconds,
        gpu_memory=state.spec.gpu_memory,
        resident_bytes=state.spec.budget.resident if state.spec.budget else None,
        left_out=dict(state.spec.left_out),
        **services.tests_of(state.cell),
    )


def _driver_symbols(state: CellState) -> tuple[str, ...]:
    """What the image asks of the driver's libraries, by the certificate that the gate goes by."""
    certified = state.decision.certified if state.decision else None
    return certified.certificate.driver_symbols if certified else ()


def _with_driver_symbols(services: Services, state: CellState, progress: Progress) -> CellState:
    """The state with a certificate that says what is asked of the driver: those of before do not."""
    return state if _driver_symbols(state) else certify(services, state, progress)


def _attach(services: Services, state: CellState, bundle: bytes) -> CellState:
    """Store what was signed beside the image, and read it back with all that lies there."""
    image = _image_of(state)
    home = services.holding(image)
    attest.attach(home, image.ref, bundle)
    beside = services.evidence.attestations_of(home, image.ref.digest)
    return judged(services, replace(state, attestations=beside))


def _last_sizes(services: Services, cell: Cell) -> Sizes | None:
    """How large the image is that carries the cell's tag now."""
    digest = services.destination.digest_of(cell.id)
    if digest is None:
        return None
    certificates = services.evidence.attestations_of(services.destination, digest).certificates
    return certificates[0].certificate.sizes if certificates else None


def _tool(cell: Cell) -> Pin:
    """The uv that installs the wheels in the build."""
    recipe = IMAGES / "tools.txt"
    return build.tool(locks.read_pins(recipe, recipe.read_text(encoding="utf-8").splitlines()), cell)


def lock_of(state: CellState) -> Lock:
    """The lock that a stage before made or found."""
    if state.lock is None:
        raise AssertionError("the plan makes a lock before what needs one")
    return state.lock


def _expectations_of(state: CellState) -> Expectations:
    if state.expectations is None:
        raise AssertionError("the plan makes a lock before what needs one")
    return state.expectations


def _image_of(state: CellState) -> Image:
    if state.image is None:
        raise AssertionError("the plan builds an image before what needs one")
    return state.image


@contextmanager
def _pushing(services: Services, progress: Progress, repository: Repository) -> Iterator[None]:
    """Where a build or its push breaks off, say what it left in the registry on this machine."""
    try:
        yield
    except BaseException:
        count, size = 0, 0
        if repository.is_loopback:
            count, size = local_registry.unfinished(repository, services.registry_data)
        if count:
            text = f"unfinished uploads to {repository}: {count}, with {units.size(size)}; no tag names"
            progress.reporter.note(
                progress.cell.id, f"{text} them, and the registry removes them after a week"
            )
        raise
