"""From sightings to causes: what comes first, what is withdrawn, what is said of what nobody knows."""

from __future__ import annotations

import json

import pytest

from pipeline.compat import diagnosis

CAUSE = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
WRAPPED = f"""\
(EngineCore_DP0 pid=60) ERROR 06-10 12:00:21 [core.py:718] EngineCore failed to start.
(EngineCore_DP0 pid=60) ERROR 06-10 12:00:21 [core.py:718] {CAUSE}
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.
"""


def ids(text: str) -> list[str]:
    return [found.id for found in diagnosis.of_text(text).diagnoses]


CARRIERS = {
    "docker logs --timestamps": "2026-06-10T12:00:21.123456789Z {}",
    "containerd": "2026-06-10T12:00:21.123456789+02:00 stderr F {}",
    "kubectl --prefix": "[pod/vllm-7d9f8b6c5-abcde/vllm] {}",
    "stern": "vllm-7d9f8b6c5-abcde vllm (EngineCore pid=60) {}",
    "docker compose": "vllm-1  | {}",
    "GitHub Actions": "2026-06-10T12:00:21.1234567Z \x1b[31m{}\x1b[0m",
    "gh run view": "build\tRun tests\t2026-06-10T12:00:21.1234567Z ##[error]{}",
    "journald": "Jun 10 12:00:21 node-a vllm[4242]: {}",
    "BuildKit": "#12 34.56 {}",
    "vLLM": "(Worker_TP0 pid=1201) ERROR 06-10 12:00:21 [multiproc_executor.py:783] {}",
    "vLLM 0.6": "ERROR 06-10 12:00:21 engine.py:366] {}",
    "Ray": "(RayWorkerWrapper pid=77, ip=10.0.0.5) {} [repeated 3x across cluster]",
    "torchrun": "[rank0]: {}",
    "colours without their escape": "[0;36m(EngineCore pid=60)[0;0m {}",
}


@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
def test_what_carries_a_line_is_taken_off(carrier: str) -> None:
    (found,) = diagnosis.of_text(f"first\n{carrier.format(CAUSE)}\n").diagnoses
    assert (found.line, found.text) == (2, CAUSE)


@pytest.mark.parametrize("field", ["log", "message", "msg", "MESSAGE", "textPayload"])
def test_a_line_in_json_is_read(field: str) -> None:
    line = json.dumps({field: f"(EngineCore pid=60) {CAUSE}\n", "stream": "stderr"})
    (found,) = diagnosis.of_text(f"{line}\n").diagnoses
    assert found.text == CAUSE


def test_quotes_that_json_escapes_do_not_hide_a_phrase() -> None:
    error = 'exec: "serve": executable file not found in $PATH'
    assert ids(json.dumps({"log": error})) == ids(error) == ["program-missing"]


def test_carriage_returns_and_broken_utf8_are_read() -> None:
    text = WRAPPED.replace("\n", "\r\n").encode().replace(b"CUDA error", b"\xff\xfe CUDA error")
    assert ids(text.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()) == [
        "no-kernel-image"
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 136])
def test_a_log_that_a_terminal_has_broken_into_its_width_is_read(width: int) -> None:
    """Wherever the line breaks fall."""
    long = WRAPPED + "".join(f'(APIServer pid=1)   File "/opt/venv/{"x" * n}"\n' for n in range(90, 130, 9))
    lines = [line[at : at + width] for line in long.splitlines() for at in range(0, len(line), width)]
    assert ids("\n".join(lines)) == ["no-kernel-image"]


def test_a_phrase_that_goes_on_in_the_next_line_is_read() -> None:
    assert ids("RuntimeError: CUDA error: no kernel image is available\n  for execution on the device") == [
        "no-kernel-image"
    ]


def test_a_wrapper_is_never_a_cause() -> None:
    """And the cause that it wraps is the only one."""
    assert ids(WRAPPED) == ["no-kernel-image"]
    reading = diagnosis.of_text(WRAPPED.replace(CAUSE, ""))
    assert not reading.diagnoses
    assert not reading.unexplained
    assert [line.line for line in reading.wrappers] == [1, 3]


def test_what_broke_down_is_said_only_where_nothing_says_why() -> None:
    symptom = "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)"
    why = "misc/shmutils.cc:72 NCCL WARN Error while creating shared memory segment /dev/shm/nccl-x"
    assert ids(symptom) == ["nccl-error"]
    reading = diagnosis.of_text(f"{why}\n{symptom}")
    assert [found.id for found in reading.diagnoses] == ["shared-memory-small"]
    assert "nccl-error" in reading.consequences


def test_two_causes_that_have_nothing_to_do_with_each_other_are_both_named_in_their_order() -> None:
    assert ids(f"OSError: [Errno 28] No space left on device\n{CAUSE}") == ["disk-full", "no-kernel-image"]


def test_803_has_two_causes_and_what_tells_them_apart() -> None:
    """A library of the image in front, or a host whose driver was updated without a reboot."""
    error = "Error 803: system has unsupported display driver / cuda driver combination"
    reading = diagnosis.of_text(error)
    assert [(found.id, str(found.blame)) for found in reading.diagnoses] == [
        ("compat-or-mismatch", "image"),
        ("driver-mismatch", "host"),
    ]
    assert all(found.decides for found in reading.diagnoses)
    assert ids(f"LD_LIBRARY_PATH=/usr/local/cuda/compat:/usr/lib\n{error}") == ["driver-shadowed"]
    assert ids(f"Failed to initialize NVML: Driver/library version mismatch\n{error}") == ["driver-mismatch"]


def test_a_warning_before_a_server_came_up_is_no_cause() -> None:
    warning = "A module that was compiled using NumPy 1.x cannot be run in\nNumPy 2.2.6 as it may crash."
    assert ids(warning) == ["numpy-abi"]
    reading = diagnosis.of_text(f"{warning}\nINFO:     Application startup complete.\n")
    assert not reading.diagnoses
    assert reading.came_up == 3


def test_values_of_the_log_are_in_the_remedy() -> None:
    """And of the facts: the driver that a CUDA needs."""
    log = """\
CUDA used to build PyTorch: 13.0
| NVIDIA-SMI 550.54.14    Driver Version: 550.54.14    CUDA Version: 12.4 |
UserWarning: CUDA initialization: The NVIDIA driver on your system is too old (found version 12040).
"""
    (found,) = diagnosis.of_text(log).diagnoses
    assert (
        "driver 550.54.14 is older than PyTorch's CUDA 13.0 needs: it serves CUDA up to 12.4" in found.cause
    )
    assert "to 580" in found.remedy


def test_a_clause_whose_value_is_not_known_is_left_out() -> None:
    (found,) = diagnosis.of_text("CUDA driver version is insufficient for CUDA runtime version").diagnoses
    assert found.cause == "the host's driver is older than PyTorch's CUDA needs"
    assert "[" not in found.cause + found.remedy
    assert "{" not in found.cause + found.remedy


def test_what_is_not_recognised_is_shown_and_not_guessed() -> None:
    """The errors themselves, before what wraps them."""
    log = f"Traceback (most recent call last):\n  File x\nZebraError: stripes\n{WRAPPED.replace(CAUSE, '')}"
    reading = diagnosis.of_text(log)
    assert not reading.diagnoses
    assert [(line.line, line.text) for line in reading.unexplained] == [(3, "ZebraError: stripes")]


def test_an_empty_log_says_nothing() -> None:
    reading = diagnosis.of_text("")
    assert (reading.lines, reading.diagnoses, reading.unexplained, reading.wrappers) == (0, (), (), ())
