"""Judges an inventory against what is expected of the image: the result is its certificate."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING

from pipeline.compat.facts import shipped
from pipeline.model import PROJECT, RULE_NAMES, RULE_VERSIONS, Certificate, ImageFinding
from pipeline.stages.audit.coverage import architectures, driver_floor, gpus, libraries
from pipeline.stages.audit.driver_symbols import driver_symbols
from pipeline.stages.audit.image_model import ImageModel
from pipeline.stages.audit.rules import FAMILIES
from pipeline.stages.audit.sizes import sizes
from pipeline.stages.audit.waivers import apply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from pipeline.compat.facts import Facts
    from pipeline.model import Expectations, Waiver
    from pipeline.stages.audit.inventory import Inventory

MAX_FINDINGS = 500
"""How many findings of one rule and severity a certificate holds; a hostile image could cause millions."""


def judge(
    inventory: Inventory,
    expected: Expectations,
    waivers: Sequence[Waiver],
    now: datetime,
    facts: Facts | None = None,
    *,
    parent: Certificate | None = None,
) -> Certificate:
    """The certificate of an image: the findings of every rule, and where the image runs.

    ``now`` is in UTC; its day decides which waivers are still valid. ``parent`` is the certificate of the
    image that this one was made from, judged by the same expectations: then each finding tells whose it is.
    """
    image = ImageModel(inventory, expected, facts or shipped(), is_derived=parent is not None)
    all_findings = sorted(
        (finding for rules in FAMILIES.values() for rule in rules for finding in rule(image)),
        key=lambda finding: (
            RULE_NAMES.index(finding.rule),
            finding.severity.rank,
            finding.path,
            finding.text,
        ),
    )
    findings, waived = apply(all_findings, waivers, now.date())
    return Certificate(
        schema=1,
        name=inventory.name,
        versions=dict(RULE_VERSIONS),
        digest=inventory.digest,
        platform=inventory.config.platform,
        findings=tuple(_bounded(_with_origins(findings, parent))),
        waived=waived,
        cuda=image.cuda,
        driver=driver_floor(image),
        driver_symbols=driver_symbols(image),
        architectures=architectures(image),
        libraries=libraries(image),
        gpus=gpus(image),
        sizes=sizes(inventory),
        unlocked=expected.pins is None,
        facts=image.facts.read,
        tool=f"{PROJECT} {version(PROJECT)}",
        created=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _with_origins(findings: Iterable[ImageFinding], parent: Certificate | None) -> Iterator[ImageFinding]:
    """The findings; of an image that was made from another one each tells whether that one has it too."""
    if parent is None:
        yield from findings
        return
    its = {_identity(finding) for finding in parent.findings}
    for finding in findings:
        origin = "parent" if _identity(finding) in its else "own"
        yield finding.model_copy(update={"origin": origin})


def _identity(finding: ImageFinding) -> tuple[str, str, str, str]:
    return finding.rule, finding.severity, finding.path, finding.text


def _bounded(findings: Iterable[ImageFinding]) -> Iterator[ImageFinding]:
    counts: Counter[tuple[str, str]] = Counter()
    for finding in findings:
        key = (finding.rule, finding.severity.value)
        counts[key] += 1
        if counts[key] <= MAX_FINDINGS:
            yield finding
    for (rule, severity), count in counts.items():
        if count > MAX_FINDINGS:
            yield ImageFinding.model_validate(
                {
                    "rule": rule,
                    "severity": severity,
                    "what": f"{count - MAX_FINDINGS} more findings of rule {rule} are left out",
                    "why": "a certificate must stay small enough to read and to sign",
                    "remedy": "fix the first ones, and run it again",
                }
            )
