"""Publications to try on a real registry, and what must hold after each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.model import Decision, Image, Publication, Reason
from pipeline.stages.attest import signatures
from pipeline.stages.publish import named, publish
from tests.builders import CPU_CELL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Answer, Bench, Proxy

CELL = CPU_CELL
CHANNELS = (CELL.id, "latest")
LATER, LATEST = "2031-01-01T00:00:00Z", "2032-01-01T00:00:00Z"


def put(bench: Bench, image: Image, decision: Decision, **changes: Any) -> Publication | Reason:
    """Publish under two channels that may move forward, unless told otherwise."""
    given: dict[str, Any] = {
        "moves": "forward",
        "evidence": bench.evidence,
        "gate": bench.gate(image),
        "signatures": bench.signatures,
        "channels": CHANNELS,
        **changes,
    }
    return publish(image, decision, bench.staging, bench.destination, **given)


def tags(bench: Bench) -> dict[str, str]:
    """The tags that people see, and their digests."""
    names = [name for name in bench.destination.tags() if not name.startswith("sha256-")]
    return {tag: str(digest) for tag, digest in named(bench.destination, names).items()}


def assert_every_tag_is_proven(bench: Bench) -> None:
    """What must hold at every moment: the gate allows each tag, by what lies in the destination alone.

    Whoever reads only plain signatures finds one there too.
    """
    digests = set(named(bench.destination, tags(bench)).values())
    for digest in digests:
        beside = bench.evidence.attestations_of(bench.destination, digest)
        ref = bench.destination.repository.at(digest)
        assert bench.gate(Image(CELL, ref, "", "")).holds(digest, beside), f"{digest} has a tag and no proof"
        assert bench.destination.intact(ref)
        assert signatures.list_of(bench.destination, digest).entries, f"{digest} has a tag and no signature"


def moving(bench: Bench) -> tuple[Bench, Image, Decision]:
    """Repositories of their own whose channels name an older image, and a newer one that is proven."""
    own = bench.elsewhere()
    put(own, *own.proven("1" * 64))
    return own, *own.proven("2" * 64, finished=LATER)


def unreadable_after_write(proxy: Proxy, *tags: str) -> Callable[[str, str, Answer], Answer]:
    """A registry that says 201 to these tags and then answers 500 for their manifests."""

    def after(method: str, path: str, answer: Answer) -> Answer:
        tag = path.rpartition("/")[2]
        written = [path for method, path in proxy.writes if method == "PUT" and path.endswith(f"/{tag}")]
        broken = method == "GET" and tag in tags and len(written) == 1
        return (500, {}, b"") if broken else answer

    return after
