"""Why a statement counts for nothing, word for word, whatever a stranger wrote or somebody signed."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters import signing_keys
from pipeline.formats import dsse
from pipeline.model import Digest, Links, Proof, Reason, ReasonCode, canonical
from pipeline.stages import attest
from pipeline.stages.attest import Evidence, certificates, links, records
from tests.unit.stages.attest.test_reading import (
    BUNDLE,
    CARRIER,
    CERTIFICATE,
    KEY,
    RECORD,
    SUBJECT,
    TRUSTED,
    read,
    sealed,
    stated,
    statement,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MALFORMED, TYPE = "record-malformed", "record-type"


def bundle(**changes: Any) -> bytes:
    """Our bundle, with these members of its envelope otherwise."""
    value = json.loads(BUNDLE)
    value["dsseEnvelope"] |= changes
    return canonical(value)


def signature(**changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(BUNDLE)["dsseEnvelope"]["signatures"][0]
    return value | changes


def claiming(material: Any) -> bytes:
    """A bundle of nobody whom we trust, which says this of its key."""
    value = json.loads(bundle(payload=base64.b64encode(b"another").decode()))
    value["verificationMaterial"] = material
    return canonical(value)


def linked(value: Any) -> bytes:
    """Our statement with these links."""
    return statement(lambda one: one["predicate"].update({links.MEMBER: value}))


def number(text: str) -> bytes:
    """Our statement with this number in it."""
    return sealed(attest.statement(RECORD).replace(b'"attempt":2', f'"attempt":{text}'.encode()))


def recorded(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["predicate"][records.EXTENSION].update(changes)


UNTRUSTED = "is not signed by a key that is trusted here; it names {} as its key"
HINT = ascii("h" * 100)[:80]

NO_LINKS: tuple[Any, ...] = (1, {"follows": []}, None)
NO_LISTS: tuple[Any, ...] = (1, "sha256:", [str(CARRIER)] * (links.MAX_LINKS + 1))
NO_DIGESTS: tuple[Any, ...] = (1, "x")

FAULTS: list[tuple[bytes, str, str]] = [
    (
        b"{" + b" " * dsse.MAX_BUNDLE_BYTES,
        MALFORMED,
        f"is too large: the bundle has {dsse.MAX_BUNDLE_BYTES + 1} bytes",
    ),
    (b"{}" + b" " * (dsse.MAX_BUNDLE_BYTES - 2), MALFORMED, f"is no {dsse.BUNDLE}"),
    (b"{", MALFORMED, "cannot be read: the bundle is no JSON"),
    (b"[]", MALFORMED, "cannot be read: the bundle is no JSON object"),
    (b'{"a": 1, "a": 2}', MALFORMED, "says 'a' twice"),
    (b"{}", MALFORMED, f"is no {dsse.BUNDLE}"),
    (canonical({"mediaType": dsse.BUNDLE}), MALFORMED, "has no DSSE envelope"),
    (bundle(payloadType="x"), TYPE, f"holds 'x', not {dsse.PAYLOAD}"),
    (bundle(payload="é"), MALFORMED, "cannot be read: its payload is no base64"),
    (bundle(signatures=[]), MALFORMED, "has not one to 8 signatures"),
    (bundle(signatures=None), MALFORMED, "has not one to 8 signatures"),
    (bundle(signatures={"sig": "x"}), MALFORMED, "has not one to 8 signatures"),
    (bundle(signatures=[signature()] * 9), MALFORMED, "has not one to 8 signatures"),
    (bundle(signatures=[signature(sig="é")]), MALFORMED, "cannot be read: its signature is no base64"),
    (bundle(signatures=["x"]), MALFORMED, "cannot be read: its signature is no base64"),
    (claiming(None), "record-untrusted", UNTRUSTED.format("none")),
    (claiming({"publicKey": "x"}), "record-untrusted", UNTRUSTED.format("none")),
    (claiming({"publicKey": {"hint": ""}}), "record-untrusted", UNTRUSTED.format("none")),
    (claiming({"publicKey": {"hint": "h" * 100}}), "record-untrusted", UNTRUSTED.format(HINT)),
    (sealed(b"{"), MALFORMED, "cannot be read: the statement is no JSON"),
    (number("9" * 21), MALFORMED, f"has the number '{'9' * 21}'"),
    (number("1." + "9" * 39), MALFORMED, f"has the number '1.{'9' * 39}'"),
    (number("NaN"), MALFORMED, "has the number 'NaN'"),
    (statement(lambda one: one.update(_type="x")), TYPE, f"is 'x', not {dsse.STATEMENT}"),
    (statement(lambda one: one.update(predicateType="x")), TYPE, f"states 'x', not {attest.PREDICATE}"),
    (statement(lambda one: one.update(predicate=1)), MALFORMED, "has no predicate"),
    (
        statement(recorded(host={"hardware": "cpu-x"})),
        MALFORMED,
        "has no record of ours: host.system: Field required",
    ),
    (
        statement(recorded(finished="2030-02-30T00:00:00Z")),
        MALFORMED,
        "has no record of ours: day is out of range for month",
    ),
    (
        statement(lambda one: one.update(more=1)),
        MALFORMED,
        "states something else than the record in it",
    ),
    (
        sealed(attest.statement(RECORD.model_copy(update={"digest": str(CARRIER)}))),
        "record-subject",
        f"is about {CARRIER}, not about {SUBJECT}",
    ),
    (stated(lambda one: one.update(predicate=1)), MALFORMED, "has no predicate"),
    (
        stated(lambda one: one["predicate"].pop("tool")),
        MALFORMED,
        "holds no certificate: tool: Field required",
    ),
    (
        stated(lambda one: one.update(more=1)),
        MALFORMED,
        "states something else than the certificate in it",
    ),
    (
        sealed(certificates.statement(CERTIFICATE.model_copy(update={"digest": str(CARRIER)}))),
        "record-subject",
        f"is about {CARRIER}, not about {SUBJECT}",
    ),
    *((linked(one), MALFORMED, f"has no links in {links.MEMBER}") for one in NO_LINKS),
    *(
        (linked({"follows": one, "lost": []}), MALFORMED, f"has no list of links in {links.MEMBER}")
        for one in NO_LISTS
    ),
    *(
        (
            linked({"follows": [], "lost": [one]}),
            MALFORMED,
            f"has a link in {links.MEMBER} that is no digest",
        )
        for one in NO_DIGESTS
    ),
]


@pytest.mark.parametrize(("body", "code", "text"), FAULTS, ids=[text[:40] for _, _, text in FAULTS])
def test_each_fault_says_what_is_wrong(body: bytes, code: str, text: str) -> None:
    hint = f"it counts for nothing; verify the image {SUBJECT} again"
    assert read(body) == Reason(ReasonCode(code), f"the record {CARRIER} {text}", hint)


def test_what_a_model_refuses_is_told_without_what_was_written() -> None:
    """It could be anything, and long."""
    found = read(statement(recorded(attempt="secret")))
    assert isinstance(found, Reason)
    assert "secret" not in found.text
    assert "http" not in found.text.partition("has no record of ours: ")[2]


def test_a_fault_is_an_error_with_its_text() -> None:
    assert str(dsse.InvalidAttestationError(ReasonCode.RECORD_TYPE, "a text")) == "a text"


def test_as_many_signatures_and_links_as_are_read_are_read() -> None:
    """Eight signatures of which the last is ours, a thousand links, a fraction of forty digits."""
    wrong = signature(sig=base64.b64encode(b"x").decode())
    assert isinstance(read(bundle(signatures=[*[wrong] * 7, signature()])), Proof)
    seen = Links(tuple(Digest(f"sha256:{number:064x}") for number in range(links.MAX_LINKS)))
    found = read(attest.sign(RECORD, KEY, previous=seen))
    assert isinstance(found, Proof)
    assert found.links == seen
    for text in (f"1.{'9' * 38}", "9" * 20, "-1"):
        assert "has the number" not in getattr(read(number(text)), "text", "")


@pytest.mark.parametrize(("body", "is_one"), [(BUNDLE, True), (b"{}", False), (sealed(b"{}"), False)])
def test_an_envelope_is_taken_from_a_bundle_whoever_signed_it(body: bytes, *, is_one: bool) -> None:
    found = dsse.envelope_of(body)
    assert (found is not None) is is_one
    if found:
        assert found.predicate == attest.PREDICATE
        assert json.loads(found.body) == json.loads(body)["dsseEnvelope"]


def test_the_statement_of_a_certificate_is_about_its_image() -> None:
    """As in-toto has a subject: the repository's name, and the digest without its kind."""
    value = json.loads(certificates.statement(CERTIFICATE))
    assert value["subject"] == [{"name": CERTIFICATE.repository, "digest": {"sha256": SUBJECT.hex}}]


def test_what_is_signed_for_an_environment_is_told_by_its_predicate() -> None:
    value = json.loads(attest.statement(RECORD, attest.BARE_METAL))
    assert value["predicateType"] == attest.BARE_METAL
    payload = json.loads(attest.sign(RECORD, KEY, predicate=attest.BARE_METAL))["dsseEnvelope"]["payload"]
    assert json.loads(base64.b64decode(payload)) == value


def test_those_who_trust_no_key_see_nothing_that_counts() -> None:
    """``Evidence`` is what lies beside an image in their eyes."""
    assert Evidence(TRUSTED).trusted == TRUSTED
    assert isinstance(attest.read(BUNDLE, SUBJECT, {}, manifest=CARRIER), Reason)
    assert signing_keys.trusted([KEY.public_key()]).keys() == TRUSTED.keys()


def test_text_that_is_no_unicode_is_a_fault_that_says_so() -> None:
    found = read(sealed(attest.statement(RECORD).replace(b"a processor", b"\\ud800")))
    assert isinstance(found, Reason)
    assert "has no record of ours: 'utf-8' codec can't encode" in found.text
