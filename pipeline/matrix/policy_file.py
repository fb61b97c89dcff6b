"""The file of a policy, for whoever deploys: read, and written from a matrix. It holds all that is asked.

It is YAML, or JSON, and is read as a matrix is: every problem at once, each with its place and remedy.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.matrix import coming, scanning
from pipeline.matrix.cell_rules import Section, Some
from pipeline.matrix.coming import Coming
from pipeline.matrix.fields import Arch, Day, Plain, RepositoryName, Tried, refusal
from pipeline.matrix.scanning import Scanning, terms_of
from pipeline.matrix.tree import read as read_tree
from pipeline.matrix.tree import usage_error
from pipeline.matrix.validate import Shape, read_as
from pipeline.model import (
    PROJECT,
    CheckName,
    Kind,
    Policy,
    Presence,
    Repository,
    RuleName,
    Signer,
    checks_of,
    checks_of_kind,
)
from pipeline.model.policies import SCHEMA
from pipeline.model.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pipeline.model import Matrix

_HINT = f"name the policy with --policy FILE; `{PROJECT} policy export` writes one from a matrix"


def _public(pem: str) -> str:
    if "PRIVATE KEY" in pem:
        raise refusal("a private key is in this file", "take it out, make a new one, and name its public key")
    if "-----BEGIN PUBLIC KEY-----" not in pem:
        raise refusal("this is no public key in PEM", "begin with -----BEGIN PUBLIC KEY-----, under `key: |`")
    return pem.strip() + "\n"


class SignerEntry(Section):
    """Whose statements count: a public key, a name for it, and the days on which it may have signed."""

    name: Plain
    """What it is called in answers."""
    key: Annotated[str, Field(max_length=4096), AfterValidator(_public)]
    """The public key, ECDSA on P-256, as PEM."""
    since: Annotated[Day, Field(alias="from")] = ""
    """The first day of which a statement counts, quoted."""
    until: Day = ""
    """The last day of which a statement counts, quoted. It still counts after that day."""

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.until and self.until < self.since:
            what = f"{self.name}: it ends on {self.until}, before it begins on {self.since}"
            raise refusal(what, "correct one of the days")
        return self


class PolicyFile(Section):
    """What a deployment asks of an image."""

    schema_number: Annotated[int, Field(alias="schema", ge=1, le=1)]
    """The version of this language: 1."""
    repositories: Annotated[dict[RepositoryName, Presence], Field(min_length=1, max_length=100)]
    """The repositories that promote images from each other, and what an image needs to be deployed from each.

    `published`: the tag of a publication. `any`: none, as in staging, or where a mirror copies by digest.
    """
    signers: Annotated[tuple[SignerEntry, ...], Field(max_length=100)] = ()
    """Whose statements count; `--key FILE` adds some."""
    required: dict[Kind, Annotated[tuple[CheckName, ...], Some]] = Field(default_factory=dict)
    """The checks that must have passed, by kind of cell; all unless they are named."""
    at_least: dict[Literal[CheckName, RuleName], Version] = Field(default_factory=dict)
    """The oldest version of a check, or of a family of rules, that counts."""
    left_out: dict[Plain, Annotated[tuple[Tried, ...], Some]] = Field(default_factory=dict)
    """Checks that cells, by their ids, are not tried with."""
    max_age_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """How old a proof may be, in days."""
    flaky: Literal["refuse", "accept"] = "refuse"
    """Whether a pass after a failure of the same image counts."""
    max_attempts: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How often the same may have been tried until it passed."""
    architectures: Annotated[tuple[Arch, ...], Field(max_length=50)] = ()
    """The architectures of GPUs on each of which an image for GPUs must have passed: `[sm_90]`."""
    tolerated: tuple[RuleName, ...] = ()
    """Families of rules whose findings are not held against an image."""
    scan: Scanning | None = None
    """Which weaknesses refuse an image, by a signed scan that is at most `max_age_days` old."""
    later: Annotated[tuple[Coming, ...], Field(max_length=50)] = ()
    """What is asked besides, from a day on."""

    @model_validator(mode="after")
    def _asks_what_there_is(self) -> Self:
        for kind, names in self.required.items():
            if strange := sorted({*names} - {*checks_of_kind(kind)}):
                what = f"required: a cell of kind {kind} has no check {strange[0]}"
                raise refusal(what, f"its checks: {' '.join(checks_of_kind(kind))}")
        return self

    @model_validator(mode="after")
    def _says_how_new(self) -> Self:
        if self.scan and self.scan.max_age_days is None:
            raise refusal("scan: it does not say how old a scan may be", "add `max_age_days: 7`")
        return self

    @property
    def policy(self) -> Policy:
        """What it asks."""
        return Policy(
            required=self.required,
            max_age_days=self.max_age_days,
            accept_flaky=self.flaky == "accept",
            at_least={str(name): version for name, version in self.at_least.items()},
            left_out={cell: frozenset(names) for cell, names in self.left_out.items()},
            repositories={Repository.parse(name): needs for name, needs in self.repositories.items()},
            signers=tuple(Signer(one.name, one.key, one.since, one.until) for one in self.signers),
            architectures=self.architectures,
            max_attempts=self.max_attempts,
            tolerated=self.tolerated,
            scan=terms_of(self.scan),
            later=tuple(entry.rule for entry in self.later),
        )


_SHAPE = Shape(PolicyFile, {"signers": SignerEntry, "scan": Scanning, "later": Coming})


def read(path: Path) -> Policy:
    """The policy in a file. Raises one UsageError with every problem: line, column, value and remedy."""
    file, problems = read_as(_SHAPE, read_tree(path, _HINT))
    if file is None or problems:
        raise usage_error(path, problems)
    return file.policy


def of_matrix(matrix: Matrix, signers: Iterable[Signer]) -> Policy:
    """What a matrix asks, for whoever deploys what it publishes; ``signers`` are whose statements count."""
    asked = matrix.policy
    kinds = {cell.kind: checks_of(cell) for cell in matrix.cells}
    required = {
        kind: tuple(name for name in checks if name in asked.required.get(kind, ()))
        for kind, checks in sorted(kinds.items())
    }
    return Policy(
        required={kind: names for kind, names in required.items() if names},
        max_age_days=asked.max_age_days,
        accept_flaky=asked.accept_flaky,
        at_least=asked.at_least,
        left_out=asked.left_out,
        repositories={matrix.repository: "published"},
        signers=tuple(signers),
        scan=asked.scan,
        later=asked.later,
    )


def document_of(policy: Policy) -> dict[str, Any]:
    """A policy as the JSON of its file; what is not asked is left out."""
    asked: dict[str, Any] = {
        "schema": SCHEMA,
        "repositories": {str(repository): needs for repository, needs in policy.repositories.items()},
        "signers": [_entry(signer) for signer in policy.signers],
        "required": {kind: list(names) for kind, names in policy.required.items()},
        "at_least": dict(policy.at_least),
        "left_out": {cell: sorted(names) for cell, names in policy.left_out.items()},
        "max_age_days": policy.max_age_days,
        "flaky": "accept" if policy.accept_flaky else "refuse",
        "max_attempts": policy.max_attempts,
        "architectures": list(policy.architectures),
        "tolerated": list(policy.tolerated),
        "scan": scanning.entry_of(policy.scan) if policy.scan else None,
        "later": [coming.entry_of(rule) for rule in policy.later],
    }
    return {name: value for name, value in asked.items() if value}


def _entry(signer: Signer) -> dict[str, str]:
    entry = {"name": signer.name, "from": signer.since, "until": signer.until, "key": signer.key}
    return {name: value for name, value in entry.items() if value}


def text_of(policy: Policy) -> str:
    """A policy as a file, with each key of a signer as it is in its own file."""
    return "".join(f"{line}\n" for line in _lines(document_of(policy)))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"# What a deployment asks of an image. {PROJECT} gate IMAGE --policy FILE judges by it alone."
    for name, value in document.items():
        if name == "signers":
            yield "signers:"
            for entry in value:
                yield from _signer(entry)
        elif isinstance(value, dict):
            yield f"{name}:"
            yield from (f"  {json.dumps(key)}: {json.dumps(one)}" for key, one in value.items())
        else:
            yield f"{name}: {json.dumps(value)}"


def _signer(entry: Mapping[str, str]) -> Iterator[str]:
    words = [
        f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in entry.items() if name != "key"
    ]
    yield f"  - {words[0]}"
    yield from (f"    {word}" for word in words[1:])
    yield "    key: |"
    yield from (f"      {line}" for line in entry["key"].splitlines())
