"""The record of a proof, by the model and the user's tests that it was made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import Basis, Outcome, Record, Result, key_of, versions_of
from pipeline.stages import verify
from tests.builders import CPU_CELL, FINISHED, HOST, IMAGE, MODEL, REPOSITORY, STARTED, check

if TYPE_CHECKING:
    from collections.abc import Sequence

TESTS, OTHER = (f"sha256:{digit * 64}" for digit in "12")


def made(basis: Basis, outcome: Outcome = Outcome.PASSED, earlier: Sequence[Record] = ()) -> Record:
    """The record of a trial on this basis, in which a test of a user's ended so."""
    return verify.record(
        IMAGE,
        REPOSITORY,
        (check("serve"), check("user:test_a::test_b", outcome)),
        earlier=earlier,
        basis=basis,
        host=HOST,
        started=STARTED,
        finished=FINISHED,
    )


def test_without_tests_the_key_of_a_proof_is_that_of_before() -> None:
    """So whoever has none proves nothing again."""
    words = [IMAGE.ref.digest.value, versions_of(CPU_CELL), MODEL, HOST.hardware]
    assert made(Basis(MODEL)).proof_key == key_of(words)


def test_other_tests_are_another_proof() -> None:
    keys = {made(Basis(MODEL, tests)).proof_key for tests in (None, TESTS, OTHER)}
    assert len(keys) == 3
    assert made(Basis(MODEL, TESTS)).basis == Basis(MODEL, TESTS)


def test_a_users_test_that_failed_fails_the_proof() -> None:
    assert made(Basis(MODEL, TESTS), Outcome.FAILED).result is Result.FAILED


def test_whoever_mends_a_test_has_no_flaky_image() -> None:
    """The same tests that pass after they failed are another matter."""
    failed = made(Basis(MODEL, TESTS), Outcome.FAILED)
    assert made(Basis(MODEL, OTHER), earlier=[failed]).result is Result.PASSED
    assert made(Basis(MODEL, TESTS), earlier=[failed]).result is Result.WARNED
