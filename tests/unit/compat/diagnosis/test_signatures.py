"""Each known failure is recognised in a log of its own, in other words too, and in no other log."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.compat import diagnosis
from pipeline.compat.diagnosis.signatures import ABOUT, SIGNATURES, STARTED, WRAPPERS
from pipeline.compat.diagnosis.signatures.phrase import Phrase
from pipeline.compat.diagnosis.signatures.signature import provided, required

LOGS = Path(__file__).with_name("logs")
WORDINGS = [
    (text.partition("\n")[2].strip("\n"), text.partition("\n")[0])
    for text in (LOGS.parent / "wordings.txt").read_text("utf-8").split("== ")[1:]
]
"""The same causes in the words of other releases, programs and carriers."""

BY_ID = {signature.id: signature for signature in SIGNATURES}

ALSO_TRUE = {"compat-or-mismatch": ["driver-mismatch"]}
"""Logs in which the words have two causes, and both are named."""


def causes(log: Path) -> list[str]:
    with log.open("rb") as stream:
        return [found.id for found in diagnosis.read(stream).diagnoses]


@pytest.mark.parametrize("name", BY_ID)
def test_a_failure_is_recognised_in_its_log_and_nothing_else_is(name: str) -> None:
    """So each signature is silent on the logs of all others."""
    assert causes(LOGS / f"{name}.log") == [name, *ALSO_TRUE.get(name, [])]


@pytest.mark.parametrize(("text", "name"), WORDINGS, ids=[text[:60] for text, _ in WORDINGS])
def test_other_words_for_the_same_cause_are_recognised(text: str, name: str) -> None:
    assert [found.id for found in diagnosis.of_text(text).diagnoses] == [name]


@pytest.mark.parametrize("log", sorted((LOGS / "healthy").glob("*.log")), ids=lambda log: log.stem)
def test_a_healthy_server_has_no_cause(log: Path) -> None:
    """With the warnings that vLLM, NCCL, the kernel and installers write in good health."""
    assert causes(log) == []


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.id)
def test_a_signature_says_whose_fault_why_what_to_do_and_by_which_source(signature: object) -> None:
    """Its texts have no holes: each phrase gives what they name, or a clause is left out."""
    assert isinstance(signature, type(SIGNATURES[0]))
    assert signature.cause
    assert signature.remedy
    assert all(source.startswith("https://") for source in signature.sources)
    assert signature.sources
    assert required(signature) <= provided(signature)
    assert set(signature.explains) <= BY_ID.keys()


def test_an_id_is_given_once() -> None:
    assert len(BY_ID) == len(SIGNATURES)


def test_every_phrase_can_be_looked_for() -> None:
    """Its needle is long enough, and a part of what it means."""
    phrases = {phrase for signature in SIGNATURES for phrase in signature.phrases}
    for text in (*phrases, *STARTED, *WRAPPERS, *ABOUT):
        phrase = Phrase(text)
        assert len(phrase.needle) >= 4, text
        assert phrase.needle in " ".join(text.lower().split()), text
        assert phrase.pattern
