"""The one place that joins the stages: which comes next for a cell, and what each is handed.

A cell's trouble is its own: where one cannot be worked on, the others go on, and the run ends with
the exit code of the worst.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import compat, suite
from pipeline.adapters import files, local_registry
from pipeline.adapters.registry import ContentError, Registry
from pipeline.formats import units
from pipeline.model import (
    PROJECT,
    Check,
    Decision,
    Estimate,
    Image,
    ImageRef,
    ImageTarget,
    Lock,
    Observed,
    Outcome,
    Pin,
    Proof,
    Publication,
    PythonTarget,
    Reason,
    ReasonCode,
    Record,
    Repository,
    Result,
    Spec,
    Stage,
    State,
    Status,
    Trial,
    Verdict,
    key_of,
)
from pipeline.model.errors import EngineError, RegistryError, TagproofError, UsageError
from pipeline.runner.expectations import expectations_of
from pipeline.runner.gatekeeping import Judging, Keeping
from pipeline.runner.services import IMAGES, Services, Settings
from pipeline.stages import attest, audit, build, fetch, plan, publish, verify
from pipeline.stages import base as base_image
from pipeline.stages import lock as locks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pipeline.model import Cell, Sizes, TagRef
    from pipeline.report.progress import ProgressReporter

__all__ = ["IMAGES", "Runner", "Services", "Settings"]


class Runner:
    """The stages, joined, for one matrix on this machine."""

    def __init__(self, machine: Services, narrator: ProgressReporter) -> None:
        self.machine = machine
        self.matrix = machine.matrix
        self.narrator = narrator
        self._bases: dict[TagRef, ImageRef] = {}

    # -- what there is ------------------------------------------------------------------------------

    def observe(self, spec: Spec) -> Observed:
        """What the lock files and the registry say of a cell; the engine is not asked."""
        lock, image = self._candidate(spec)
        if image is None:
            return Observed(spec, lock, None)
        digest, evidence_, destination = image.ref.digest, self.machine.evidence, self.machine.destination
        observed = Observed(
            spec,
            lock,
            image,
            beside=evidence_.attestations_of(self.machine.staging, digest),
            tags=tuple(publish.named(destination, (image.immutable_tag, *self._channels(spec))).items()),
        )
        if not observed.carried:
            return observed
        whole = destination.intact(destination.repository.at(digest))
        return replace(observed, there=evidence_.attestations_of(destination, digest), whole=whole)

    def _candidate(self, spec: Spec) -> tuple[Lock | None, Image | None]:
        """The cell's lock, and the image in staging that is built from it, as far as they are there."""
        lock = locks.read(spec, self.machine.settings.locks)
        if not self.machine.has_registry(self.matrix.staging):
            return lock, None
        base = self._base_in_staging(spec)
        return lock, self._image_in_staging(spec, lock, base) if lock and base else None

    def decide(self, observed: Observed) -> Decision | None:
        """What the gate says of the cell's image today; None where there is no image."""
        judging = self._judging(observed)
        return judging.ours(observed.beside) if judging else None

    def status(self, spec: Spec) -> Status:
        """One row of the plan."""
        observed = self.observe(spec)
        return self._row(observed, self.decide(observed))

    def _judging(self, observed: Observed) -> Judging | None:
        if observed.image is None or observed.lock is None:
            return None
        return Judging(self.machine, observed.spec, observed.lock, observed.image)

    def _channels(self, spec: Spec) -> tuple[str, ...]:
        return self.matrix.channels_of(spec.cell)

    def _row(self, observed: Observed, decision: Decision | None) -> Status:
        cell = observed.spec.cell
        why_not = self.machine.why_not(cell)
        estimate = self._estimate(observed.lock) if observed.lock else None
        judging = self._judging(observed)
        return plan.status(
            observed,
            decision,
            can_prove=not why_not,
            why_not=why_not,
            channels=self._channels(observed.spec),
            there=judging.ours(observed.there) if judging and observed.carried else None,
            keeps=bool(judging and judging.holds(judging.image.ref.digest, observed.there)),
            verdict=_verdict(observed.spec, estimate),
            estimate=estimate,
        )

    def _estimate(self, lock: Lock) -> Estimate:
        return build.estimate(lock, fetch.bytes_missing(lock.pins, self.machine.cache))

    # -- the stages ---------------------------------------------------------------------------------

    def lock(self, spec: Spec) -> Lock:
        """Resolve and write the cell's lock, whether there is one or not."""
        with self._stage(spec.cell, Stage.LOCK):
            lock = locks.make(spec, default_cuda=compat.default_cuda(spec.cell), folders=self.machine.folders)
            locks.write(spec, lock, self.machine.settings.locks)
            return lock

    def build(self, spec: Spec) -> Image:
        """The cell's image in staging: the one that is there, or a new one.

        With ``--fresh`` what is there is not looked at, so a thing in its place that is no image is replaced.
        """
        self.machine.ensure_local_registry()
        image = None if self.machine.settings.fresh else self.observe(spec).image
        return image or self._build(spec)

    def _build(self, spec: Spec) -> Image:
        facts = self.machine.builder  # an engine that is down stops the work before any of it
        lock = locks.read(spec, self.machine.settings.locks) or self.lock(spec)
        tool = self._fetch(spec, lock)
        base = self._base_in_staging(spec) or self._make_base(spec)
        with self._stage(spec.cell, Stage.BUILD) as say, self._pushing(spec.cell, self.matrix.staging):
            return build.build(
                spec,
                lock,
                base,
                tool,
                images=IMAGES,
                cache=self.machine.cache,
                staging=self.matrix.staging,
                driver=compat.driver_floor(spec.cell.cuda),
                snapshotter=facts.snapshotter,
                fresh=self.machine.settings.fresh,
                progress=say,
            )

    def certify(self, spec: Spec) -> Status:
        """Judge the files of the cell's image, unless that was done; sign what was found, and keep it."""
        self.machine.ensure_local_registry()
        observed = self.observe(spec)
        decision = self.decide(observed)
        image, lock = observed.image, observed.lock
        if image is None or lock is None or (decision and decision.certified):
            return self._row(observed, decision)
        from pipeline.runner import audits  # noqa: PLC0415 - numpy: a plan only reads what was certified

        key = self.machine.signing_key
        expected = replace(expectations_of(spec, lock), last=self._last_sizes(spec.cell))
        with self._stage(spec.cell, Stage.CERTIFY):
            certificate = audits.of_cell(image.ref, expected, spec.waivers).model_copy(
                update={
                    "repository": str(self.matrix.repository),
                    "inputs": audit.inputs_of(image.ref.digest, expected, spec.waivers),
                }
            )
            seen = replace(observed.beside.links, lost=())  # only who runs an image may do without them
            bundle = attest.certificates.sign(certificate, key, seen=seen)
            attest.attach(self.machine.staging, image.ref, bundle)
        return self.status(spec)

    def _last_sizes(self, cell: Cell) -> Sizes | None:
        """How large the image is that carries the cell's tag now."""
        digest = self.machine.destination.digest_of(cell.id)
        if digest is None:
            return None
        found = self.machine.evidence.attestations_of(self.machine.destination, digest).certificates
        return found[0].certificate.sizes if found else None

    def built(self, spec: Spec) -> Status:
        """The status of a cell after its image was built, and its files were judged."""
        if self.machine.settings.fresh or not self._is_certified(spec):
            _ = self.machine.signing_key  # what cannot sign stops the work before any of it
        self.build(spec)
        return self.certify(spec)

    def _is_certified(self, spec: Spec) -> bool:
        decision = self.decide(self.observe(spec))
        return bool(decision and decision.certified)

    def verify(self, spec: Spec) -> Status:
        """Bring a cell to a signed record of the suite's checks, doing only what is left to do.

        With ``--fresh`` an image that is proven is proven again; the image itself stays.
        """
        self.machine.ensure_local_registry()
        status = self.status(spec)
        is_proven = status.state in {State.PROVEN, State.PUBLISHED}
        again = self.machine.settings.fresh and not _is_refused(status)
        if status.pending or (is_proven and not again):
            return status
        key = self.machine.signing_key  # what cannot sign, or would count for nothing, stops the work here
        image = status.image or self._build(spec)
        status = self.certify(spec)
        if _is_refused(status) or (Stage.VERIFY not in status.steps and not again):
            return status  # what the files tell already takes no time of a GPU
        observed = self.observe(spec)
        lock = observed.lock
        if lock is None or observed.image is None:
            raise UsageError(f"{spec.cell.id}: the lock or the image vanished meanwhile", hint="run it again")
        started = _now()
        self.machine.engine.reap()  # what an earlier run that was killed left behind
        checks, log_tail = self._prove(spec.cell, self._trial(spec, lock, image))
        self.machine.engine.release(image.ref)  # the registry has it; here it would fill the disk
        status = replace(status, image=image, log_tail=log_tail, again=_again("verify", spec.cell))
        if any(check.outcome is Outcome.INCONCLUSIVE for check in checks):
            return _inconclusive(status, checks)
        record = self._record(image, str(self.matrix.repository), checks, observed.beside.proofs, started)
        bundle = attest.sign(record, key, seen=observed.beside.links)
        attest.attach(self.machine.staging, image.ref, bundle)
        if record.result is Result.FAILED:
            self._carry_veto(image)
        return replace(self.status(spec), record=record, log_tail=log_tail, again=status.again)

    def _carry_veto(self, image: Image) -> None:
        """What was seen to fail is said wherever people find the image, not only where it was tried."""
        destination = self.machine.destination
        if destination.digest_of(str(image.ref.digest)):
            publish.carry(image, self.machine.staging, destination, self.machine.evidence)

    def publish(self, spec: Spec) -> Status:
        """Give a proven image its tags; a cell that is not proven stays as it is, with the reasons."""
        self.machine.ensure_local_registry()
        observed = self.observe(spec)
        decision = self.decide(observed)
        judging = self._judging(observed)
        status = self._row(observed, decision)
        if observed.image is None or decision is None or judging is None:
            return status
        if not decision.allowed:
            self._carry_veto(observed.image)
            return self.status(spec) if observed.carried else status
        if status.state is State.PUBLISHED:
            return status
        with self._stage(spec.cell, Stage.PUBLISH) as say:
            done = publish.publish(
                observed.image,
                decision,
                self.machine.staging,
                self.machine.destination,
                self._channels(spec),
                moves=self.matrix.policy.moves,
                evidence=self.machine.evidence,
                judge=judging,
                on_step=say,
            )
        if isinstance(done, Publication):
            return self.status(spec)
        return replace(status, reasons=(*status.reasons, done), again=_again("publish", spec.cell))

    def repair(self, spec: Spec) -> Status:
        """Take away what lies in a cell's way in the registry: junk beside its image, tags that may not stay.

        An image that is proven then gets its tags, also where that moves a channel back.
        """
        self.machine.ensure_local_registry()
        staging, destination = self.machine.staging, self.machine.destination
        _, image = self._candidate(spec)
        with self._stage(spec.cell, Stage.PUBLISH) as say:
            if image:
                self.clean(image.ref, say)
                if destination.digest_of(str(image.ref.digest)):
                    self.clean(destination.repository.at(image.ref.digest), say)
                    publish.carry(image, destination, staging, self.machine.evidence, say)
                    publish.carry(image, staging, destination, self.machine.evidence, say)
            left = publish.withdraw(
                destination,
                spec.cell,
                (*((image.immutable_tag,) if image else ()), *self._channels(spec)),
                evidence=self.machine.evidence,
                judge=Keeping(self.machine),
                on_step=say,
            )
        status = self.publish(spec)
        return replace(status, reasons=(*status.reasons, *left))

    def clean(self, ref: ImageRef, say: Callable[[str], None]) -> None:
        """Have what is signed beside any image readable again."""
        attest.clean(Registry(ref.repository), ref.digest, self.machine.evidence.trusted, say)

    def try_out(self, python: Path) -> Status:
        """Run the suite on a bare-metal environment; its record is kept here and never counts for a tag."""
        key = self.machine.key
        found = verify.environment(python)
        started = _now()
        trial = Trial(
            cell=found.cell,
            run=self.machine.settings.run,
            target=PythonTarget(python=str(found.python)),
            expected=replace(found.expected, excused=self._excused(found.cell)),
            model=self.machine.model_of(found.cell),
            healthy_seconds=self.matrix.healthy_seconds,
        )
        checks, log_tail = self._prove(found.cell, trial)
        status = Status(
            found.cell, State.UNPROVEN, log_tail=log_tail, again=f"{_again('verify')} --python {python}"
        )
        if any(check.outcome is Outcome.INCONCLUSIVE for check in checks):
            return _inconclusive(status, checks)
        image = Image(found.cell, ImageRef(_NOWHERE, found.subject), found.subject.hex, found.subject.value)
        record = self._record(image, str(_NOWHERE), checks, (), started)
        path = self.machine.settings.state("bare-metal") / f"{found.subject.hex}.json"
        files.write(path, attest.sign(record, key, predicate=attest.BARE_METAL))
        self.narrator.note(found.cell.id, f"the signed record is {path}")
        return replace(status, state=_seen(record), record=record)

    def _excused(self, cell: Cell) -> tuple[str, ...]:
        """The packages that the matrix leaves out of, or replaces in, such a cell."""
        specs = (spec for spec in self.matrix.specs if spec.cell == cell)
        return next((Lock(cell, (), spec.omit, spec.overrides).excused for spec in specs), ())

    def judge(self, text: str) -> Decision:
        """Whether the image ``host/path@sha256:…`` may carry a tag of the cell that its label names."""
        try:
            ref = ImageRef.parse(text)
        except ValueError as error:
            raise UsageError(
                str(error), hint="take the digest from `python -m pipeline plan --json`"
            ) from error
        if not self.machine.has_registry(ref.repository):
            hint = "name a registry that has it"
            raise RegistryError(f"{ref}: there is no registry at {ref.repository.host}", hint=hint)
        named = Registry(ref.repository).config(ref).labels.get(f"{PROJECT}.cell", "")
        spec = next((spec for spec in self.matrix.specs if spec.cell.id == named), None)
        if spec is None:
            text = f"{ref} says that it is cell {named!r}, which this matrix does not have"
            return Decision(
                (Reason(ReasonCode.UNKNOWN_CELL, text, "judge it with the matrix that it was built from"),)
            )
        observed = self.observe(spec)
        judging = self._judging(observed)
        if judging is None or judging.image.ref.digest != ref.digest:
            return Decision((self._other_build(ref, spec, observed),))
        ours = {self.matrix.staging, self.matrix.repository}
        expected = self.matrix.repository if ref.repository in ours else ref.repository
        beside = self.machine.evidence.attestations_of(Registry(ref.repository), ref.digest)
        return judging.of(beside, expected)

    def _other_build(self, ref: ImageRef, spec: Spec, observed: Observed) -> Reason:
        """Why an image is not judged: today's inputs give another one, or none that we know of."""
        what, build_it = "today's lock, recipe and base", f"python -m pipeline build {spec.cell.id}"
        if observed.image:
            text = f"{ref} is not what {spec.cell.id} builds from {what}: that is {observed.image.ref}"
            return Reason(ReasonCode.OTHER_BUILD, text, build_it)
        text = f"{ref}: no image of {spec.cell.id} from {what} is in {self.matrix.staging} to hold it against"
        return Reason(
            ReasonCode.OTHER_BUILD, text, f"name the repository it was built for: --repository; or {build_it}"
        )

    def end(self) -> None:
        """Leave nothing behind: remove the containers of this run, if an engine was used at all.

        Where the engine has died meanwhile, the next run removes them.
        """
        if self.machine.has_used_engine:
            with suppress(EngineError):
                self.machine.engine.reap(self.machine.settings.run)

    def each(self, specs: Sequence[Spec], stage: Callable[[Spec], Status]) -> tuple[Status, ...]:
        """Run a stage for each cell; the trouble of one is written down as its status."""
        return tuple(self._guarded(spec, stage) for spec in specs)

    # -- observing ----------------------------------------------------------------------------------

    def _base_in_staging(self, spec: Spec) -> ImageRef | None:
        """The base of a cell; its tag is looked up once, so that all cells of a run stand on one digest."""
        if spec.base.image:
            return spec.base.image
        home = base_image.home(spec.base, spec.system, IMAGES, self.matrix.staging)
        if home not in self._bases and (digest := Registry(home.repository).digest_of(home.tag)):
            self._bases[home] = home.repository.at(digest)
        return self._bases.get(home)

    def _image_in_staging(self, spec: Spec, lock: Lock, base: ImageRef) -> Image | None:
        """The candidate under the build key's tag, if all of it is there and it says what it is."""
        driver = compat.driver_floor(spec.cell.cuda)
        build_key = build.key(spec, lock, base, driver, IMAGES)
        digest = self.machine.staging.digest_of(build.home(build_key, self.matrix.staging).tag)
        if digest is None:
            return None
        ref = self.matrix.staging.at(digest)
        labels = build.labels(spec, lock, driver)
        try:
            if not self.machine.staging.intact(ref):
                return None
            said = self.machine.staging.config(ref).labels
        except ContentError as error:
            what = f"{ref} is in the place of the image of {spec.cell.id}: {error.what}"
            hint = f"python -m pipeline build --fresh {spec.cell.id} replaces it"
            raise ContentError(what, hint=hint) from error
        if not labels.items() <= said.items():
            return None
        return Image(spec.cell, ref, build_key, lock.digest)

    # -- building -----------------------------------------------------------------------------------

    def _fetch(self, spec: Spec, lock: Lock) -> Pin:
        """Bring every wheel of the lock, and uv for the build, into the cache; returns uv's."""
        recipe = IMAGES / "tools.txt"
        lines = recipe.read_text(encoding="utf-8").splitlines()
        tool = build.tool(locks.read_pins(recipe, lines), spec.cell)
        pins = [*lock.pins, tool]
        with self._stage(spec.cell, Stage.FETCH):
            build.refuse_full_disk(lock, fetch.bytes_missing(pins, self.machine.cache), self.machine.room())
            fetch.fetch(spec, pins, self.machine.cache, self.machine.folders, self.narrator.bytes)
        return tool

    def _make_base(self, spec: Spec) -> ImageRef:
        base_image.refuse_foreign_system(spec.base, spec.system)
        target = base_image.home(spec.base, spec.system, IMAGES, self.matrix.staging)
        with self._stage(spec.cell, Stage.BASE) as say, self._pushing(spec.cell, target.repository):
            ref, packages = base_image.make(
                spec.base,
                spec.system,
                IMAGES,
                target,
                platform=spec.cell.platform,
                snapshotter=self.machine.facts.snapshotter,
                progress=say,
            )
            base_image.describe(Registry(ref.repository), ref, packages)
            self._bases[target] = ref
            return ref

    @contextmanager
    def _pushing(self, cell: Cell, repository: Repository) -> Iterator[None]:
        """Where a build or its push breaks off, say what it left in the registry on this machine."""
        try:
            yield
        except BaseException:
            count, size = 0, 0
            if repository.is_loopback:
                count, size = local_registry.unfinished(repository, self.machine.registry_data)
            if count:
                text = f"unfinished uploads to {repository}: {count}, with {units.size(size)}; no tag names"
                self.narrator.note(cell.id, f"{text} them, and the registry removes them after a week")
            raise

    # -- proving ------------------------------------------------------------------------------------

    def _trial(self, spec: Spec, lock: Lock, image: Image) -> Trial:
        return Trial(
            cell=spec.cell,
            run=self.machine.settings.run,
            target=ImageTarget(ref=str(image.ref)),
            expected=expectations_of(spec, lock),
            model=self.machine.model_of(spec.cell),
            healthy_seconds=self.matrix.healthy_seconds,
        )

    def _prove(self, cell: Cell, trial: Trial) -> tuple[tuple[Check, ...], str]:
        log = self.machine.settings.state("logs") / f"{cell.id}.log"
        with self._stage(cell, Stage.VERIFY) as say:
            return verify.prove(trial, progress=say, log=log)

    def _record(
        self,
        image: Image,
        repository: str,
        checks: tuple[Check, ...],
        earlier: Sequence[Proof],
        started: str,
    ) -> Record:
        here, model = self.machine.here, self.machine.model_digest_of(image.cell)
        proof_key = key_of([image.ref.digest.value, suite.digest(), model, here.hardware])
        before = [proof.record for proof in earlier if proof.record.proof_key == proof_key]
        passed = all(check.outcome is Outcome.PASSED for check in checks)
        failed_before = any(record.result is not Result.PASSED for record in before)
        return Record(
            schema=1,
            cell=image.cell.id,
            repository=repository,
            digest=image.ref.digest.value,
            build_key=image.build_key,
            proof_key=proof_key,
            lock=image.lock,
            suite=suite.digest(),
            model=model,
            host=here,
            started=started,
            finished=_now(),
            attempt=len(before) + 1,
            checks=checks,
            result=Result.FAILED if not passed else Result.WARNED if failed_before else Result.PASSED,
        )

    # -- telling ------------------------------------------------------------------------------------

    @contextmanager
    def _stage(self, cell: Cell, stage: Stage) -> Iterator[Callable[[str], None]]:
        self.narrator.stage(cell.id, stage)
        start = time.monotonic()
        yield lambda text: self.narrator.note(cell.id, f"{stage}: {text}")
        self.narrator.done(cell.id, stage, time.monotonic() - start)

    def _guarded(self, spec: Spec, stage: Callable[[Spec], Status]) -> Status:
        start = time.monotonic()
        try:
            status = stage(spec)
        except UsageError:
            raise
        except TagproofError as error:
            reason = Reason(ReasonCode.MACHINE, error.what, error.hint)
            again = _again(_COMMANDS.get(stage.__name__, stage.__name__), spec.cell)
            return Status(spec.cell, State.INCONCLUSIVE, reasons=(reason,), again=again)
        return replace(
            status, seconds=((_STAGES.get(stage.__name__, Stage.VERIFY), time.monotonic() - start),)
        )


def _inconclusive(status: Status, checks: tuple[Check, ...]) -> Status:
    """The machine failed, not the image: nothing is signed, nothing is held against the image."""
    trouble = next(check for check in checks if check.outcome is Outcome.INCONCLUSIVE)
    reason = Reason(
        ReasonCode.INCONCLUSIVE,
        f"{status.cell.id}: the machine failed in check {trouble.name}: {trouble.seen}",
        "nothing is held against the image; mend the machine and run it again",
    )
    return replace(status, state=State.INCONCLUSIVE, reasons=(reason,))


def _verdict(spec: Spec, estimate: Estimate | None) -> Verdict:
    """What the rules of compatibility say of a cell and, where it is locked, what its budget says."""
    verdict = compat.judge(spec.cell, compat.conditions_of(spec))
    over = plan.over_budget(spec.cell, spec.budget, estimate) if estimate else ()
    return Verdict((*verdict.findings, *over))


def _is_refused(status: Status) -> bool:
    """Whether the certificate speaks against the image."""
    return any(reason.code == ReasonCode.CERTIFICATE_REFUSED for reason in status.reasons)


def _seen(record: Record) -> State:
    return State.FAILED if record.result is Result.FAILED else State.PROVEN


_NOWHERE = Repository("localhost:0", "bare-metal")
"""Stands where a record of an image names its repository."""

_STAGES = {stage.value: stage for stage in Stage}
_COMMANDS = {"built": "build", "status": "plan"}
"""The commands that are not called as their function is."""


def _again(command: str, cell: Cell | None = None) -> str:
    return f"python -m pipeline {command}{f' {cell.id}' if cell else ''}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
