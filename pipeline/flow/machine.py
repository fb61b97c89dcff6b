"""The machine as the stages need it: registry, engine, key, caches, each looked at only when asked for.

So a run with nothing to do works with the engine down, and a plan needs no signing key.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import build, buildx, compat, distribution, evidence, files, gpu, host, keys, places
from pipeline import lock as locks
from pipeline.nouns import Conditions, Level
from pipeline.registry import Registry
from pipeline.suite import golden
from pipeline.suite.model import digest_of, locate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.engine import Engine, Facts
    from pipeline.nouns import Cell, Host, Matrix


@dataclass(frozen=True)
class Settings:
    """What the command line and the environment say, read once."""

    matrix: Matrix
    find_links: tuple[str, ...] = ()
    key_pem: str | None = field(default=None, repr=False)
    fresh: bool = False
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


IMAGES = next(
    folder for folder in (above / "images" for above in Path(__file__).parents[1:3]) if folder.is_dir()
)
"""The recipe: beside the package in a checkout, inside it where it was installed from a wheel."""


class Machine:
    """All outside of the stages that they work with."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.matrix = settings.matrix

    def why_not(self, cell: Cell) -> str:
        """Why this machine cannot prove the cell, or nothing."""
        if cell.machine != os.uname().machine:
            return f"needs {cell.platform}"
        if not cell.needs_gpu:
            return ""
        here = gpu.gpus()
        if not here:
            return "needs a GPU"
        conditions = Conditions(archs=tuple(one.architecture for one in here), driver=gpu.driver() or None)
        against = compat.judge(cell, conditions).at(Level.IMPOSSIBLE)
        return "; ".join(one.text for one in against if one.rule in {"archs", "driver"})

    @cached_property
    def staging(self) -> Registry:
        """The registry's staging repository; the registry on this machine is started where it is down."""
        self.ensure_local_registry()
        return Registry(self.matrix.staging)

    def ensure_local_registry(self) -> None:
        """Have the registry on this machine answer, where that is the one in use. Raises RegistryError."""
        if self.matrix.staging.is_loopback:
            data = places.registry_data()
            distribution.ensure(self.matrix.staging, data, data / "registry.log")

    @cached_property
    def destination(self) -> Registry:
        """The repository that users pull from."""
        return Registry(self.matrix.repository)

    @cached_property
    def engine(self) -> Engine:
        """The container engine. Raises EngineError where it is down."""
        from pipeline.engine import Engine  # noqa: PLC0415 - a plan needs no engine, and waits for no import

        return Engine.connect()

    @property
    def has_used_engine(self) -> bool:
        """Whether anything needed the engine so far."""
        return "engine" in self.__dict__

    @cached_property
    def facts(self) -> Facts:
        """What the engine says of itself."""
        return self.engine.facts()

    @cached_property
    def builder(self) -> Facts:
        """The same of an engine that can build. Raises EngineError where it has no BuildKit."""
        facts = self.facts
        buildx.check()
        return facts

    @cached_property
    def here(self) -> Host:
        """The host that records name, with the version of the engine where one is used."""
        return host.here(self.facts.version if self.has_used_engine else "")

    @cached_property
    def key(self) -> keys.PrivateKey:
        """The key that signs. Raises SigningError where it cannot be used."""
        return keys.load(pem=self.settings.key_pem)

    @cached_property
    def evidence(self) -> evidence.Evidence:
        """The records that count: by the matrix's signers, or, where it names none, by this machine's key."""
        signers = self.matrix.policy.signers
        public = [keys.read_public(path) for path in signers] if signers else [self.key.public_key()]
        return evidence.Evidence(keys.trusted(public))

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

    def model_digest_of(self, cell: Cell) -> str:
        """The digest of that model's files; nothing is written for it."""
        named = self._named_model(cell)
        return self._digest_of_named if named else golden.read().model

    def _named_model(self, cell: Cell) -> str | None:
        return self.matrix.model if cell.vllm else None

    @cached_property
    def _digest_of_named(self) -> str:
        return digest_of(locate(self.matrix.model or "").folder)

    @cached_property
    def _tiny_model(self) -> str:
        from pipeline.suite import tiny_model  # noqa: PLC0415 - numpy: only a trial needs it

        folder = places.models() / "tiny"
        tiny_model.write(folder)
        return str(folder)

    @property
    def cache(self) -> Path:
        """The cache of wheels."""
        cache = places.wheels()
        cache.mkdir(parents=True, exist_ok=True)
        return cache

    def room(self) -> Mapping[tuple[str, ...], int]:
        """Bytes free on each disk, by what of ours lies there; a remote machine's disk is not ours to see."""
        places_of = {build.WHEELS: self.cache, build.ENGINE: self.facts.root_dir}
        if self.matrix.staging.is_loopback:
            places_of[build.REGISTRY] = places.registry_data()
        disks: dict[int, list[str]] = {}
        for what, folder in places_of.items():
            if folder.is_dir():
                disks.setdefault(folder.stat().st_dev, []).append(what)
        return {tuple(names): host.disk_free(places_of[names[0]]) for names in disks.values()}
