"""A CUDA cell of matrix.yaml, built from its lock and certified, by the commands that a user types."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import matrix
from pipeline.adapters import signing_keys
from pipeline.adapters.registry import Registry
from pipeline.model import PROJECT, Image, ImageRef, Repository
from pipeline.stages import attest
from tests.cuda_build import BUILT, CELL, ROOT
from tests.system.conftest import registry_server
from tests.system.engine_leftovers import cleaned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.formats import dsse
    from pipeline.model import Certificate


@dataclass(frozen=True)
class Builder:
    """Somebody with a checkout, a key and a repository of their own, who types commands.

    The cache of wheels is that of whoever runs the tests, so that a second run downloads nothing.
    """

    checkout: Path
    environment: Mapping[str, str]
    repository: Repository

    def types(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``python -m pipeline WORDS --repository …`` in the checkout."""
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *words, "--repository", str(self.repository)],
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def trusted(self) -> Mapping[str, dsse.PublicKey]:
        """The builder's own key: what it signs counts."""
        home = Path(self.environment.get("XDG_CONFIG_HOME", "~/.config")).expanduser()
        return signing_keys.trusted([signing_keys.read_public(home / PROJECT / "signing.pub")])

    def status(self, cell: str = CELL) -> dict[str, Any]:
        """What ``plan`` says of a cell."""
        done = self.types("plan", cell, "--json")
        assert done.stdout, done.stderr
        row: dict[str, Any] = json.loads(done.stdout)["cells"][0]
        return row


@dataclass(frozen=True)
class CudaImage:
    """The image, in staging by its digest, who built it, and what the command said meanwhile."""

    image: Image
    builder: Builder
    narration: str

    @property
    def repository(self) -> Repository:
        """Where it would be published."""
        return self.builder.repository

    @cached_property
    def certificate(self) -> Certificate:
        """What was signed of its files when it was built."""
        staging = Registry(self.image.ref.repository)
        beside = attest.Evidence(self.builder.trusted).attestations_of(staging, self.image.ref.digest)
        return beside.certificates[0].certificate

    def prints(self, *words: str, mounted: Path | None = None) -> str:
        """What its Python prints when it is started with these words, without any network.

        ``mounted``: a file to have at the top of the container's files.
        """
        mount = ["--volume", f"{mounted}:/{mounted.name}:ro"] if mounted else []
        run = ["docker", "run", "--rm", "--network=none", *mount, "--entrypoint=python"]
        done = subprocess.run(
            [*run, str(self.image.ref), *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


def built(builder: Builder) -> CudaImage:
    """Build the cell, as far as there is anything left to do. Fails with what the command said."""
    done = builder.types("build", CELL)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    found = builder.status()["image"]
    (spec,) = matrix.select(matrix.load(ROOT / "matrix.yaml"), [CELL])
    image = Image(spec.cell, ImageRef.parse(found["ref"]), found["build_key"], found["lock"])
    return CudaImage(image, builder, done.stderr)


@contextmanager
def a_builder(folder: Path) -> Iterator[Builder]:
    """Whoever builds it while the block lasts; after it nothing is left in the engine or on disk.

    Where the variable BUILT names a repository, it is this user, who has built the cell there.
    """
    checkout = folder / "checkout"
    checkout.mkdir()
    shutil.copy(ROOT / "matrix.yaml", checkout)
    shutil.copytree(ROOT / "locks", checkout / "locks")
    if there := os.environ.get(BUILT):
        yield Builder(checkout, os.environ, Repository.parse(there))
        return
    homes = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
    own = {name: value for name, value in os.environ.items() if name != "TAGPROOF_KEY"}
    data = folder / "registry"
    data.mkdir()
    with registry_server(data) as server, cleaned(server.host):
        yield Builder(checkout, {**own, **homes}, Repository(server.host, "cuda/image"))
