"""What changed from one image to another, by what was signed beside both."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.model import (
    Change,
    Described,
    Difference,
    Digest,
    DriverFloor,
    GpuReach,
    ImageFinding,
    LayerSize,
    Outcome,
    PackageSize,
    Severity,
    Sizes,
)
from pipeline.report import difference
from tests.builders import FINISHED, REPOSITORY, certificate, check, record

OLD, NEW = REPOSITORY.at(Digest.of(b"old")), REPOSITORY.at(Digest.of(b"new"))
SPEED = {"first-token-seconds": "0.0123 (0.0120 to 0.0130 in 9)"}


def sizes(layers: dict[str, int], **packages: str) -> Sizes:
    return Sizes(
        compressed=sum(layers.values()),
        installed=3 * sum(layers.values()),
        layers=tuple(
            LayerSize(digest=name, made_by="a wheel", compressed=count, installed=3 * count)
            for name, count in layers.items()
        ),
        packages=tuple(
            PackageSize(name=name, version=version, installed=1) for name, version in packages.items()
        ),
    )


BEFORE = Described(
    OLD,
    certificate(sizes=sizes({"a": 1_000_000, "b": 2_000_000}, torch="2.13.0", numpy="2.0"), cuda="12.9"),
    record(),
)


def described(checks: tuple[Any, ...] = (check("serve"),), **changes: Any) -> Described:
    good: dict[str, Any] = {"sizes": BEFORE.certificate.sizes, "cuda": "12.9"}
    return Described(NEW, certificate(**good | changes), record(checks=checks))


def changes(after: Described) -> list[tuple[str, str, str, str]]:
    return [(one.kind, one.name, one.before, one.after) for one in Difference(BEFORE, after).changes]


def test_two_images_of_which_the_same_was_signed_differ_in_nothing() -> None:
    assert changes(described()) == []


FINDING = ImageFinding(
    rule="closure", severity=Severity.WARNING, path="/opt/x.so", text="libx is nowhere", why="w", hint="h"
)


@pytest.mark.parametrize(
    ("after", "change"),
    [
        (
            described(sizes=sizes({"a": 1_000_000}, torch="2.14.0", numpy="2.0")),
            Change("package", "torch", "2.13.0", "2.14.0"),
        ),
        (
            described(sizes=sizes({}, torch="2.13.0")),
            Change("package", "numpy", "2.0", ""),
        ),
        (described(cuda="13.0"), Change("image", "CUDA", "12.9", "13.0")),
        (
            described(driver=DriverFloor(version="580", reason="CUDA 13")),
            Change("image", "oldest driver", "", "580"),
        ),
        (described(architectures=("sm_90",)), Change("image", "architectures", "", "sm_90")),
        (
            described(gpus=(GpuReach(name="H100", arch="sm_90", reach="native", driver="580"),)),
            Change("GPU", "H100", "", "native, driver 580"),
        ),
        (described(findings=(FINDING,)), Change("finding", "closure: libx is nowhere", "", "warning")),
        (described((check("serve", Outcome.FAILED),)), Change("check", "serve", "passed", "failed")),
        (
            described((check("serve"), check("speed", facts=SPEED))),
            Change("speed", "first-token-seconds on cpu-amd64", "", SPEED["first-token-seconds"]),
        ),
    ],
    ids=lambda value: value.name.split()[0] if isinstance(value, Change) else "",
)
def test_each_thing_that_was_signed_is_compared(after: Described, change: Change) -> None:
    assert change in Difference(BEFORE, after).changes


def test_an_update_pulls_the_layers_that_are_new() -> None:
    after = described(sizes=sizes({"b": 2_000_000, "c": 5_000_000}, torch="2.13.0", numpy="2.0"))
    found = Difference(BEFORE, after)
    assert found.new_bytes == 5_000_000
    (sentence,) = (line for line in difference.lines(found) if "pulls" in line)
    assert sentence.endswith("an update pulls 5.00 MB")
    assert "3.00 MB -> 7.00 MB compressed, 9.00 MB -> 21.0 MB installed" in sentence


def test_an_image_that_was_never_tried_is_compared_by_its_files() -> None:
    untried = Described(NEW, BEFORE.certificate)
    assert ("check", "serve", "passed", "") in changes(untried)
    assert ("image", "proven", f"{FINISHED} on cpu-amd64: PASSED", "") in changes(untried)


def test_the_notes_of_a_release_have_a_section_for_each_kind_and_escape_what_images_say() -> None:
    after = described(cuda="13.0", sizes=sizes({}, torch="2.13.0", numpy="2.0", **{"a|b": "1"}))
    text = difference.markdown(Difference(BEFORE, after))
    assert text.startswith(f"`{NEW}`, after `{OLD}`.\n")
    assert "## Packages\n\n| | before | now |\n|---|---|---|\n| a\\|b |  | 1 |\n" in text
    assert "## Image\n" in text
