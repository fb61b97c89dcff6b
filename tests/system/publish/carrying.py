"""Somebody who carries published images elsewhere: a folder, a policy, and a repository behind an air gap."""

from __future__ import annotations

import secrets
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.adapters import signing_keys
from pipeline.adapters.layout import Layout
from pipeline.adapters.registry import Registry
from pipeline.matrix import policy_file
from pipeline.model import Policy, Repository, Signer, signed_digest
from pipeline.runner import promoting
from pipeline.runner.deploying import Judge
from pipeline.stages.publish import named
from tests.system.publish.publishing import put

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.adapters.places import Readable
    from pipeline.model import Image, Promotion
    from tests.system.conftest import Bench


@dataclass(frozen=True)
class Carrier:
    """Whose policy names where images are published, come from, and go to, as this one reaches them."""

    bench: Bench
    folder: Path
    here: Repository
    there: Repository

    @property
    def policy(self) -> Policy:
        own = Signer("team", signing_keys.public_pem(self.bench.key.public_key()).decode())
        all_of_them = (self.bench.destination.repository, self.here, self.there)
        return Policy(
            required={"vllm-cpu": ("serve",)},
            repositories=dict.fromkeys(all_of_them, "published"),
            signers=(own,),
        )

    @property
    def judge(self) -> Judge:
        return Judge.by(self.policy)

    def published(self, build_key: str = "1" * 64, **changes: str) -> Image:
        image, decision = self.bench.proven(build_key, **changes)
        put(self.bench, image, decision)
        return image

    def exports(self, *images: Image) -> tuple[Promotion, ...]:
        asked = [self.here.at(image.ref.digest) for image in images]
        return promoting.export(asked, self.folder, self.judge, lambda _: None)

    def imports(self) -> tuple[Promotion, ...]:
        layout = Layout.read(self.folder, self.there)
        return promoting.import_layout(layout, self.there, self.judge, lambda _: None)

    def types(self, *words: object, before: tuple[str, ...] = ()) -> tuple[int, str, str]:
        file = self.folder.parent / "policy.yaml"
        file.write_text(policy_file.text_of(self.policy))
        command = [*before, sys.executable, "-m", "pipeline", *map(str, words), "--policy", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def evidence_in(self, place: Readable, image: Image) -> set[str]:
        """The statements beside an image, by the digests of their manifests."""
        beside = self.bench.evidence.attestations_of(place, image.ref.digest)
        return {str(statement.manifest) for statement in beside.statements}

    def assert_every_tag_is_proven(self) -> None:
        """What must hold at every moment, there: each tag is accepted, and its image whole."""
        registry = at(self.bench, self.there)
        for tag in tags_in(registry):
            acceptance = self.judge.accept_in(registry, self.there.tagged(tag))
            assert {reason.code for reason in acceptance.reasons} <= {"unpublished"}, acceptance.reasons
            assert acceptance.image
            assert registry.intact(registry.repository.at(acceptance.image.digest))


def carrier_of(bench: Bench, folder: Path, *, host: str = "", path: str = "") -> Carrier:
    """``host`` is that of a proxy before the registry, ``path`` that of a repository that there is."""
    here, own = bench.destination.repository, path or f"prod/{secrets.token_hex(6)}"
    return Carrier(
        bench, folder / "layout", Repository(host or here.host, here.path), Repository(host or here.host, own)
    )


def at(bench: Bench, repository: Repository) -> Registry:
    """A repository, with no proxy before it."""
    return Registry(Repository(bench.destination.repository.host, repository.path))


def tags_in(registry: Registry) -> dict[str, str]:
    """The tags that people see, and their digests."""
    names = [name for name in registry.tags() if not signed_digest(name)]
    return {tag: str(digest) for tag, digest in named(registry, names).items()}
