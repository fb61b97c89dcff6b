"""A record that somebody kept is read, signed or not; what is none is refused by what it lacks."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.formats.dsse import InvalidAttestationError
from pipeline.model import Deployment, Outcome, Result, canonical, to_json
from pipeline.stages import ask, attest
from tests import builders
from tests.builders import FINISHED, STARTED, check

KEY = ec.generate_private_key(ec.SECP256R1())
RECORD = builders.record(replay="python -m pipeline verify --replay x")
SAYS = Deployment("http://127.0.0.1:8000", "served", "0.32.0", 512)
ASKED = ask.record(SAYS, (check("serve"),), started=STARTED, finished=FINISHED, replay="again")


@pytest.mark.parametrize("predicate", [attest.PREDICATE, attest.BARE_METAL, attest.ANY_IMAGE])
def test_a_signed_record_is_read_whoever_signed_it(predicate: str) -> None:
    assert attest.record_in(attest.sign(RECORD, KEY, predicate=predicate)) == RECORD


def test_a_signed_record_of_a_deployment_is_read() -> None:
    assert attest.record_in(attest.deployments.sign(ASKED, KEY)) == ASKED


@pytest.mark.parametrize("record", [RECORD, ASKED], ids=["image", "deployment"])
def test_a_record_alone_is_read(record: object) -> None:
    assert attest.record_in(canonical(to_json(record))) == record


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"url": 1}', b'{"dsseEnvelope": {}}', b'{"a": 1, "a": 2}']
)
def test_what_is_no_record_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidAttestationError):
        attest.record_in(body)


def test_a_certificate_is_no_record() -> None:
    bundle = attest.certificates.sign(builders.certificate(), KEY)
    with pytest.raises(InvalidAttestationError, match="no record of ours"):
        attest.record_in(bundle)


def test_a_deployment_is_known_by_what_it_says_of_itself() -> None:
    assert ASKED.digest == SAYS.digest.value
    assert ASKED.deployment == SAYS
    assert Deployment(SAYS.url, SAYS.model, "0.33.0", 512).digest != SAYS.digest


def test_a_deployment_that_fails_a_check_has_failed() -> None:
    failed = (check("serve"), check("chat", Outcome.FAILED))
    assert ask.record(SAYS, failed, started=STARTED, finished=FINISHED, replay="").result is Result.FAILED


def test_a_record_of_before_is_written_as_it_was_signed() -> None:
    """It carries no line that replays it, and no parent."""
    assert not {"replay", "parent"} & set(to_json(builders.record()))
    assert json.loads(canonical(to_json(RECORD)))["replay"] == RECORD.replay
