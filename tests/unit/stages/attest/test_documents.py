"""Documents of other people's types: read where a signer signed them, and for nothing that is decided."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.formats import dsse
from pipeline.formats.dsse import STATEMENT
from pipeline.model import (
    Basis,
    Document,
    Documented,
    DocumentKind,
    Links,
    Reason,
    Signer,
    canonical,
)
from pipeline.stages import attest
from pipeline.stages.attest import certificates
from pipeline.stages.gate import decide
from pipeline.stages.publish import carry
from tests import builders
from tests.unit.stages.attest.samples import (
    KEY,
    SIGNER,
    STRANGER,
    SUBJECT,
    TRUSTED,
    attach,
    attestations,
    certificate,
    record,
)

if TYPE_CHECKING:
    from pipeline.adapters.registry import Registry
    from pipeline.model import Attestations, Decision
    from tests.memory_registry import MemoryRegistry

CREATED = "2030-01-02T03:04:05+00:00"
PREDICATES: dict[DocumentKind, dict[str, Any]] = {
    DocumentKind.PROVENANCE: {"runDetails": {"metadata": {"finishedOn": CREATED}}},
    DocumentKind.CYCLONEDX: {"metadata": {"timestamp": CREATED}},
    DocumentKind.SPDX: {"creationInfo": {"created": CREATED}},
    DocumentKind.SUMMARY: {"timeVerified": CREATED},
    DocumentKind.VEX: {"timestamp": CREATED},
}


def document(kind: DocumentKind = DocumentKind.SPDX, **more: Any) -> Document:
    return Document(kind, str(SUBJECT), CREATED, canonical({**PREDICATES[kind], **more}).decode())


def signed(given: Document, key: dsse.PrivateKey = KEY) -> bytes:
    return attest.documents.sign(given, builders.REPOSITORY, key)


def read(statement: dict[str, Any]) -> object:
    bundle = dsse.sign(canonical(statement), KEY)
    return attest.read(bundle, SUBJECT, TRUSTED, manifest=SUBJECT)


def statement(**changes: Any) -> dict[str, Any]:
    """A statement that another program made."""
    return {
        "_type": STATEMENT,
        "subject": [{"name": "x", "digest": {"sha512": "1"}}, {"digest": {"sha256": SUBJECT.hex}}],
        "predicateType": DocumentKind.SPDX.predicate,
        "predicate": PREDICATES[DocumentKind.SPDX],
        **changes,
    }


@pytest.mark.parametrize("kind", DocumentKind)
def test_what_was_signed_is_what_is_read(kind: DocumentKind, staging: Registry) -> None:
    manifest = attach(staging, signed(document(kind)))
    assert attestations(staging).documents == (Documented(document(kind), SIGNER, manifest),)
    assert attestations(staging).newest_document(kind) == Documented(document(kind), SIGNER, manifest)


def test_the_newest_of_a_kind_is_the_one_that_is_read(staging: Registry) -> None:
    """By when each says it was made, whatever its time zone."""
    later = {"creationInfo": {"created": "2030-01-02T02:04:06-01:00"}}
    for more in ({}, later, {"x": 1}):
        attach(staging, signed(document(**more)))
    found = attestations(staging).newest_document(DocumentKind.SPDX)
    assert found is not None
    assert found.document.created == "2030-01-02T03:04:06+00:00"
    assert attestations(staging).newest_document(DocumentKind.CYCLONEDX) is None


def test_a_strangers_is_none() -> None:
    """Nor is a good one of another image."""
    strange = attest.read(signed(document(), STRANGER), SUBJECT, TRUSTED, manifest=SUBJECT)
    assert isinstance(strange, Reason)
    assert strange.code == "record-untrusted"
    other = attest.read(
        signed(replace(document(), digest=f"sha256:{'1' * 64}")), SUBJECT, TRUSTED, manifest=SUBJECT
    )
    assert isinstance(other, Reason)
    assert other.code == "record-subject"


def test_one_that_a_signer_had_another_program_make_is_read() -> None:
    """It may name more subjects than one."""
    found = read(statement())
    assert isinstance(found, Documented)
    assert found.document.kind is DocumentKind.SPDX


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"predicate": []}, "record-malformed"),
        ({"predicate": {}}, "record-malformed"),
        ({"predicate": {"creationInfo": {"created": 5}}}, "record-malformed"),
        ({"predicate": {"creationInfo": {"created": "2030-01-02T03:04:05"}}}, "record-malformed"),
        ({"predicate": {"creationInfo": {"created": "0001-01-01T00:00:00+23:00"}}}, "record-malformed"),
        ({"subject": []}, "record-subject"),
        ({"subject": None}, "record-subject"),
        ({"subject": ["x", {"digest": 5}]}, "record-subject"),
    ],
)
def test_anything_else_is_a_reason(changes: dict[str, Any], code: str) -> None:
    """A time without a zone is another day elsewhere, and by its day its signer is judged."""
    found = read(statement(**changes))
    assert isinstance(found, Reason)
    assert found.code == code


def test_a_text_that_is_none_is_a_reason() -> None:
    """Half of a surrogate pair, which JSON may write and no text holds."""
    text = json.dumps(statement(predicate={**PREDICATES[DocumentKind.SPDX], "x": "\ud800"}))
    found = attest.read(dsse.sign(text.encode(), KEY), SUBJECT, TRUSTED, manifest=SUBJECT)
    assert isinstance(found, Reason)


def test_one_of_a_day_on_which_its_signer_did_not_count_is_none(staging: Registry) -> None:
    attach(staging, signed(document()))
    terms = {SIGNER: (Signer("we", "", until="2030-01-01"),)}
    found = attest.Evidence(TRUSTED, terms).attestations_of(staging, SUBJECT)
    assert (found.documents, [reason.code for reason in found.rejected]) == ((), ["record-out-of-term"])


# -- what is decided without them ----------------------------------------------------------------------


def judge(beside: Attestations) -> Decision:
    image = builders.image(digest=str(SUBJECT))
    return decide(
        image.cell,
        image,
        builders.REPOSITORY,
        beside,
        policy=builders.policy("serve"),
        basis=Basis(builders.MODEL),
        inputs=builders.INPUTS,
        now=builders.NOW,
    )


def proven(staging: Registry) -> None:
    """A certificate and a record by which the image may be published."""
    attach(staging, certificates.sign(certificate(1), KEY))
    attach(staging, attest.sign(record(2), KEY, previous=attestations(staging).links))


def test_documents_neither_approve_nor_refuse(staging: Registry) -> None:
    """The gate decides the same with them and without."""
    assert not judge(attestations(staging)).allowed
    for kind in DocumentKind:
        attach(staging, signed(document(kind)))
    assert not judge(attestations(staging)).allowed
    proven(staging)
    beside = attestations(staging)
    assert len(beside.documents) == len(DocumentKind)
    assert judge(beside) == judge(replace(beside, documents=()))
    assert judge(beside).allowed


def test_a_statement_of_a_type_that_nobody_knows_refuses_nothing(staging: Registry) -> None:
    """As an earlier version of this program meets documents: it says so, and allows the image."""
    proven(staging)
    attach(staging, dsse.sign(canonical(statement(predicateType="https://example.com/later")), KEY))
    decision = judge(attestations(staging))
    assert decision.allowed
    assert [reason.code for reason in decision.rejected] == ["record-type"]


def test_no_statement_names_a_document(staging: Registry) -> None:
    """So one that is taken away, or that an earlier version does not carry along, is missed by nobody."""
    attach(staging, certificates.sign(certificate(1), KEY))
    before = attestations(staging).links
    manifest = attach(staging, signed(document()))
    assert attestations(staging).links == before
    attach(staging, attest.sign(record(2), KEY, previous=attestations(staging).links))
    staging.delete_manifest(manifest)
    assert attestations(staging).missing == ()
    assert attestations(staging).documents == ()


def test_a_document_names_no_statement(staging: Registry) -> None:
    """Its type leaves no room for that: a reader that is strict would refuse it."""
    attach(staging, certificates.sign(certificate(1), KEY))
    attach(staging, signed(document()))
    (found,) = attestations(staging).documents
    assert found.links == Links()


def test_documents_go_where_the_image_goes(staging: Registry, registry: MemoryRegistry) -> None:
    """With their very bytes, into every list."""
    proven(staging)
    attach(staging, signed(document()))
    destination = registry.at("a")
    image = builders.image(digest=str(SUBJECT))
    steps: list[str] = []
    carried = carry(image, staging, destination, attest.Evidence(TRUSTED), steps.append)
    assert carried.documents == attestations(staging).documents
    assert "document stored" in steps
