"""The machine as the stages need it: registry, engine, key, caches, each looked at only when asked for.

So a run with nothing to do works with the engine down, and a plan needs no signing key.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import compat
from pipeline.adapters import buildx, files, gpu, host, local_registry, paths, signing_keys
from pipeline.adapters.recipe import IMAGES
from pipeline.adapters.registry import Registry
from pipeline.formats import dsse
from pipeline.model import Basis, Conditions, Level
from pipeline.model.errors import EngineError, SigningError, UsageError
from pipeline.runner.trusting import Trust
from pipeline.stages import attest, base, build, pinned_model
from pipeline.stages import lock as locks
from pipeline.stages.pinned_model import PinnedModel
from pipeline.suite import golden
from pipeline.suite.model import hashes_of, locate
from pipeline.suite.user_tests import sources as user_tests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.engine import Engine, Facts
    from pipeline.model import Cell, Host, ImageRef, Matrix, Repository, Spec, TagRef


@dataclass(frozen=True)
class Settings:
    """What the command line and the environment say, read once.

    ``given`` are the words by which the command line named another matrix or repository than the default.
    """

    matrix: Matrix
    find_links: tuple[str, ...] = ()
    key_pem: str | None = field(default=None, repr=False)
    fresh: bool = False
    given: tuple[str, ...] = ()
    run: str = field(default_factory=lambda: f"{os.getpid()}-{time.time_ns()}")

    @property
    def folder(self) -> Path:
        """The folder of matrix.yaml: locks and local state lie beside it."""
        return self.matrix.path.parent.resolve()

    @property
    def locks(self) -> Path:
        """Where the locks are committed."""
        return self.folder / "locks"

    def state(self, name: str) -> Path:
        """The folder of this name for what this checkout remembers of its runs; nothing is decided by it.

        Raises UsageError where a link in the checkout leads elsewhere.
        """
        return files.folder(self.folder, ".state", name)


def why_not_with(cell: Cell, archs: tuple[str, ...], driver: str) -> str:
    """Why this machine cannot prove the cell if it has GPUs of these architectures, or nothing."""
    if cell.machine != os.uname().machine:
        return f"needs {cell.platform}"
    if not cell.needs_gpu:
        return ""
    if not archs:
        return "needs a GPU"
    against = compat.judge(cell, Conditions(archs=archs, driver=driver or None)).at(Level.IMPOSSIBLE)
    return "; ".join(finding.text for finding in against if finding.rule in {"archs", "driver"})


class Services:
    """All outside of the stages that they work with."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.matrix = settings.matrix
        self.bases: dict[TagRef, ImageRef] = {}
        self._reached: set[str] = set()
        self._engine: Engine | None = None
        self._key: dsse.PrivateKey | None = None

    def why_not(self, cell: Cell) -> str:
        """Why this machine cannot prove the cell, or nothing."""
        if not cell.needs_gpu or cell.machine != os.uname().machine:
            return why_not_with(cell, (), "")
        return why_not_with(cell, tuple(device.architecture for device in gpu.gpus()), gpu.driver())

    def can_rehearse(self, cell: Cell) -> bool:
        """Whether this machine can do all of a cell that needs a GPU but the part that does."""
        return cell.needs_gpu and cell.machine == os.uname().machine

    @cached_property
    def staging(self) -> Registry:
        """The staging repository."""
        return Registry(self.matrix.staging)

    def has_registry(self, repository: Repository) -> bool:
        """Whether there is a registry to read this repository from; nothing is started for it.

        False where it would be on this machine, which never had one there: all that could be in it is
        absent. Raises RegistryError where it is down, or what listens there is none.
        """
        if repository.host not in self._reached and self._serves(repository):
            self._reached.add(repository.host)
        return repository.host in self._reached

    def ensure_local_registry(self) -> None:
        """Have the registry on this machine answer, where that is the one in use, for a stage that writes.

        Raises RegistryError where it cannot.
        """
        if self.matrix.staging.is_loopback:
            local_registry.ensure(
                self.matrix.staging, self.registry_data, self.registry_data / "registry.log"
            )

    @property
    def registry_data(self) -> Path:
        """What the registry on this machine stores, where that is the one in use."""
        return local_registry.home(self.matrix.staging, paths.registries())

    def _serves(self, repository: Repository) -> bool:
        if not repository.is_loopback:
            return True
        return local_registry.serves(repository, local_registry.home(repository, paths.registries()))

    @cached_property
    def destination(self) -> Registry:
        """The repository that users pull from."""
        return Registry(self.matrix.repository)

    def base_of(self, spec: Spec) -> ImageRef | None:
        """The base of a cell, if it is there; looked up once, so that all cells stand on one digest."""
        if spec.base.image:
            return spec.base.image
        home = base.home(spec, IMAGES, self.matrix.staging)
        if home not in self.bases and (digest := Registry(home.repository).digest_of(home.tag)):
            self.bases[home] = home.repository.at(digest)
        return self.bases.get(home)

    @property
    def engine(self) -> Engine:
        """The container engine. Raises EngineError where it is down."""
        if self._engine is None:
            from pipeline.adapters.engine import Engine  # noqa: PLC0415 - a plan needs none, and waits for no import

            self._engine = Engine.connect()
        return self._engine

    @property
    def has_used_engine(self) -> bool:
        """Whether anything needed the engine so far."""
        return self._engine is not None

    @cached_property
    def facts(self) -> Facts:
        """What the engine says of itself."""
        return self.engine.facts()

    @property
    def builder(self) -> Facts:
        """The same of an engine that can build. Raises EngineError where it has no BuildKit."""
        facts = self.facts
        _ = self._platforms
        return facts

    @cached_property
    def _platforms(self) -> frozenset[str]:
        return buildx.platforms()

    def refuse_foreign(self, cell: Cell, *, makes_base: bool) -> None:
        """Raise EngineError where no image for the cell's processor, or no base, can be made here."""
        hint = (
            f"run it on a machine that is {cell.machine}, or have this one emulate it (Debian and Ubuntu: "
            "qemu-user-static binfmt-support arch-test)"
        )
        if self._platforms and cell.platform not in self._platforms:
            mine = ", ".join(sorted(self._platforms))
            what = f"{cell.id} is for {cell.platform}, and the builder of this engine builds for {mine}"
            raise EngineError(what, hint=f"{hint}, or choose a builder for it: docker buildx create --use …")
        if makes_base and not host.executes(cell.machine):
            what = f"{cell.id}: its base is made by programs for {cell.platform}, which do not run here"
            raise EngineError(what, hint=f"{hint}, or name an image for it under `base:`")

    @cached_property
    def here(self) -> Host:
        """The host that records name, with the version of the engine where one is used."""
        return host.here(self.facts.version if self.has_used_engine else "")

    @property
    def key(self) -> dsse.PrivateKey:
        """The key that signs: the given one, else this user's. Raises UsageError or SigningError."""
        if self._key is None:
            self._key = signing_keys.load(pem=self.settings.key_pem)
        return self._key

    def refuse_unusable_key(self) -> None:
        """Raise UsageError where a key is given that cannot be used, whatever there is to do with it."""
        if self.settings.key_pem is not None:
            _ = self.key

    @property
    def signing_key(self) -> dsse.PrivateKey:
        """The key for what is to count here: asked for before any work that ends in a signature.

        Raises SigningError where there is none, it is none of the matrix's signers, or one of their files
        is broken. No key is made where only those of others count.
        """
        if self._signers and self.settings.key_pem is None and signing_keys.own_public() is None:
            raise self._uncounted("this machine has no key")
        ours = dsse.fingerprint(self.key.public_key())
        if self._signers and ours not in self._signers:
            raise self._uncounted(f"the key that signs here is {ours}")
        return self.key

    @property
    def can_sign(self) -> bool:
        """Whether there is a key here that counts; none is made to find out. Raises SigningError."""
        if self.settings.key_pem is None and signing_keys.own_public() is None:
            return False
        return not self._signers or dsse.fingerprint(self.key.public_key()) in self._signers

    def _uncounted(self, why: str) -> SigningError:
        counting = ", ".join(self._signers)
        return SigningError(
            f"{why}; by `verify: signers:` in {self.matrix.path} only these count: {counting}",
            hint=f"give a signer's key in {signing_keys.VARIABLE}, or add the public key of this one there",
        )

    @property
    def _signers(self) -> Mapping[str, dsse.PublicKey]:
        return self._trust.signers

    @property
    def evidence(self) -> attest.Evidence:
        """The attestations that count here. Raises SigningError."""
        return self._trust.evidence

    @property
    def signatures(self) -> attest.Signatures:
        """The destination's plain signatures; made where a key is here that counts. Raises SigningError."""
        key = self.key if self.can_sign else None
        return attest.Signatures(self.destination, self.matrix.repository, self.evidence.trusted, key)

    @cached_property
    def _trust(self) -> Trust:
        return Trust(self.matrix, self.settings.key_pem)

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """Local folders of wheels."""
        return locks.folders_of(self.settings.find_links)

    def model_of(self, cell: Cell) -> str:
        """The model that the suite tries this cell with, by name or folder.

        It is the one that the matrix names, or the tiny one, which is written into a cache. Without vLLM
        it is always the tiny one: no other's architecture is known to the suite's own forward pass.
        """
        return self._named_model(cell) or self._tiny_model

    def basis_of(self, cell: Cell) -> Basis:
        """The model and the user's tests that a proof of this cell has to stand on today.

        The model's files are not read: its digest is pinned. Raises UsageError where it is not.
        """
        pinned = self._pinned if self._named_model(cell) else None
        digest = pinned.digest if pinned else golden.read().model
        return Basis(digest, user_tests.digest_of(self.matrix.tests, self._prompts_of(cell)))

    def basis_for_proof(self, cell: Cell) -> Basis:
        """The same, for one that is made now. Raises UsageError where the model here is not that one."""
        if self._named_model(cell):
            self.ensure_pinned_model(cell)
            pinned_model.refuse_other(self._pinned, self._hashes, pinned_model.path_of(self.settings.locks))
        return self.basis_of(cell)

    def ensure_pinned_model(self, cell: Cell) -> bool:
        """Pin the model of a cell where none of that name is; whether that had to be done.

        Raises UsageError where its files are not here.
        """
        is_due = self._named_model(cell) is not None and not self._is_pinned
        return is_due and self.pin_model() is not None

    def pin_model(self) -> PinnedModel | None:
        """Pin the model that the matrix names, whatever is in its place; None where it names none.

        Where its files are not on this machine it stays as it was pinned elsewhere. Raises UsageError where
        it never was.
        """
        if self.matrix.model is None:
            return None
        try:
            pinned = PinnedModel(self.matrix.model, self._hashes)
        except UsageError:
            if not self._is_pinned:
                raise
            return self._pinned
        pinned_model.write(pinned, self.settings.locks)
        return pinned

    @property
    def _is_pinned(self) -> bool:
        pinned = pinned_model.read(self.settings.locks)
        return pinned is not None and pinned.name == self.matrix.model

    @property
    def _pinned(self) -> PinnedModel:
        """What is pinned. Raises UsageError where that is nothing, or another model than the matrix names."""
        pinned = pinned_model.read(self.settings.locks)
        if pinned is None or pinned.name != self.matrix.model:
            what = f"it is of {pinned.name}" if pinned else "it is not there"
            path = pinned_model.path_of(self.settings.locks)
            raise UsageError(
                f"{self.matrix.path}: `verify: model: {self.matrix.model}` is not pinned in {path}: {what}",
                hint=pinned_model.AGAIN,
            )
        return pinned

    def tests_of(self, cell: Cell) -> dict[str, Any]:
        """What a trial of this cell is told of the user's tests and prompts, by absolute paths."""
        tests = self.matrix.tests
        return {
            "tests": str(tests.absolute()) if tests else None,
            "prompts": tuple(str(file.absolute()) for file in self._prompts_of(cell)),
        }

    def _prompts_of(self, cell: Cell) -> tuple[Path, ...]:
        """The prompts, of which a cell without vLLM has none: nothing serves the model there."""
        return self.matrix.prompts if cell.vllm else ()

    def _named_model(self, cell: Cell) -> str | None:
        return self._model_of_matrix if cell.vllm else None

    @cached_property
    def _model_of_matrix(self) -> str | None:
        """What the matrix names: an id, or a folder from the matrix's own, wherever we were called."""
        named = self.matrix.model
        beside = self.settings.folder / Path(named or "").expanduser()
        return str(beside) if named and beside.is_dir() else named

    @cached_property
    def _hashes(self) -> Mapping[str, str]:
        """Of the files of the model that the matrix names: read once, for they may be many gigabytes."""
        return hashes_of(locate(self._model_of_matrix or "").folder)

    @cached_property
    def _tiny_model(self) -> str:
        from pipeline.suite import tiny_model  # noqa: PLC0415 - numpy: only a trial needs it

        folder = paths.models() / "tiny"
        tiny_model.write(folder)
        return str(folder)

    @property
    def cache(self) -> Path:
        """The cache of wheels."""
        cache = paths.wheels()
        cache.mkdir(parents=True, exist_ok=True)
        return cache

    def room(self) -> Mapping[tuple[str, ...], int]:
        """Bytes free on each disk, by what of ours lies there; a remote machine's disk is not ours to see."""
        places_of = {build.WHEELS: self.cache, build.ENGINE: self.facts.root_dir}
        if self.matrix.staging.is_loopback:
            places_of[build.REGISTRY] = self.registry_data
        return host.room({what: folder for what, folder in places_of.items() if folder.is_dir()})
