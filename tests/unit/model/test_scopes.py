"""What a record certifies, and what it leaves open, follows from the record alone."""

from __future__ import annotations

from pipeline.model import Host, Outcome, certifies
from tests import builders
from tests.builders import check

CHOSEN = {
    "dtype": "bfloat16",
    "attention": "FLASH_ATTN",
    "compilation": "VLLM_COMPILE",
    "cuda-graphs": "FULL",
}
H100 = Host(
    hardware="sm_90-x86_64",
    system="Linux",
    cpu="a processor",
    memory_bytes=2**35,
    gpus=("NVIDIA H100 (sm_90, 81559 MiB)",),
    driver="580.65.06",
)


def test_it_names_the_hardware_the_model_the_number_types_and_the_modes() -> None:
    record = builders.record(checks=(check("serve", facts=CHOSEN), check("exact")), host=H100)
    scope = certifies(record)
    assert scope.passed
    assert (scope.subject, scope.model) == (record.digest, record.model)
    assert (scope.hardware, scope.driver, scope.gpus) == ("sm_90-x86_64", "580.65.06", H100.gpus)
    assert scope.dtypes == ("bfloat16", "float32")
    assert dict(scope.modes) == {name: value for name, value in CHOSEN.items() if name != "dtype"}
    assert (scope.unseen, scope.checks, scope.not_run) == ((), ("serve", "exact"), ())


def test_what_the_log_does_not_name_was_not_seen() -> None:
    noted = CHOSEN | {"dtype": "not said", "attention": "not said"}
    scope = certifies(builders.record(checks=(check("serve", facts=noted),)))
    assert (scope.dtypes, scope.unseen) == ((), ("attention",))
    assert "attention" not in dict(scope.modes)


def test_what_was_not_run_stands_with_its_reason_and_takes_nothing_from_the_rest() -> None:
    left_out = check("device", Outcome.NOT_RUN, seen="no GPU")
    scope = certifies(builders.record(checks=(check("serve"), left_out)))
    assert (scope.passed, scope.checks, scope.not_run) == (True, ("serve",), (("device", "no GPU"),))


def test_a_record_with_a_failure_certifies_nothing() -> None:
    scope = certifies(builders.record(checks=(check("serve"), check("exact", Outcome.FAILED))))
    assert (scope.passed, scope.failed, scope.dtypes) == (False, ("exact",), ())


def test_what_a_check_noted_that_failed_was_not_proven() -> None:
    scope = certifies(builders.record(checks=(check("serve", Outcome.FAILED, facts=CHOSEN),)))
    assert (scope.dtypes, scope.modes) == ((), ())
