"""What a GPU must show is asked of the driver, which a test plays: no word of the server's replaces it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.gpu import Usage
from pipeline.model import Outcome
from pipeline.model.errors import MachineError
from pipeline.runner.trying import inconclusive
from pipeline.suite import device, tiny_model
from pipeline.suite.device import Taken
from tests.builders import CUDA_CELL
from tests.nvml_double import GIB, IS_LOST, UUID, NvmlDouble
from tests.system.suite.fake_server import saboteur
from tests.system.suite.trials import left, prove, trial_of

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Check

pytestmark = pytest.mark.needs("compiler")

BEFORE = GIB // 2
USES_GPU = """
import pathlib
def tell(used, *pids, status=0):
    state = pathlib.Path(os.environ["STATE"])
    fresh = state.with_name("fresh-of-server")
    fresh.write_text(" ".join(map(str, [status, 90, 80 << 30, used, *pids])))
    fresh.replace(state)
def end(*_):
    tell({after})
    os._exit(0)
signal.signal(signal.SIGTERM, end)
{start}
"""
SHARE = "tell(72 << 30, os.getpid())"
METRICS = 'vllm:cache_config_info{engine="0",gpu_memory_utilization="%s",num_gpu_blocks="%s"} 1.0\n'
COMPLETION = """{"id": "1", "object": "text_completion", "created": 1, "model": "under-test", "choices": [
{"index": 0, "text": "Paris", "finish_reason": "length", "token_ids": [80, 97, 114, 105, 115]}],
"usage": {"prompt_tokens": 1, "completion_tokens": 16, "total_tokens": 17}}"""


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NvmlDouble:
    """The driver of a machine with one GPU; the suite's process finds it."""
    (tmp_path / "driver").mkdir()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "driver"))
    return NvmlDouble(tmp_path / "driver", used=BEFORE)


def try_server(
    double: NvmlDouble, tmp_path: Path, start: str, *, after: str = f"{BEFORE}", metrics: str = ""
) -> dict[str, Check]:
    """What the suite says of a server that does this at its start, and leaves this much in use at its end."""
    tiny_model.write(tmp_path / "model")
    python = saboteur(tmp_path, USES_GPU.replace("{start}", start).replace("{after}", after))
    env = {"STATE": str(double.state), "BODY": COMPLETION, "METRICS": metrics or METRICS % (0.9, 1000)}
    checks = prove(trial_of(python, str(tmp_path / "model"), cell=CUDA_CELL, env=env), tmp_path)
    assert left(tmp_path / "packages") == []
    return checks


def test_a_server_on_the_gpu_passes_and_what_was_measured_is_in_the_record(
    double: NvmlDouble, tmp_path: Path
) -> None:
    """Before, under load, after the end; which process it was, and how many blocks its cache has."""
    checks = try_server(double, tmp_path, SHARE)
    on_gpu, shutdown = checks["device"], checks["shutdown"]
    assert (on_gpu.outcome, shutdown.outcome) == (Outcome.PASSED, Outcome.PASSED)
    assert on_gpu.facts["process"]
    assert {name: value for name, value in on_gpu.facts.items() if name != "process"} == {
        "gpu": UUID,
        "kv-blocks": "1000",
        "memory-before": "0.50 GiB",
        "memory-loaded": "72.00 GiB of 80.00 GiB",
        "memory-share": "0.894",
    }
    assert shutdown.facts["memory-after"] == "0.50 GiB"


@pytest.mark.needs("pids")
@pytest.mark.parametrize(
    ("start", "expected", "seen"),
    [
        ("", "a process of the environment on the GPU", "only []"),
        ("tell(72 << 30, 1)", "a process of the environment on the GPU", "only [1]"),
    ],
    ids=["computes elsewhere", "only another process is there"],
)
def test_a_server_that_is_not_on_the_gpu_is_refused(
    start: str, expected: str, seen: str, double: NvmlDouble, tmp_path: Path
) -> None:
    """It answers all the same."""
    check = try_server(double, tmp_path, start)["device"]
    assert check.outcome is Outcome.FAILED
    assert check.expected.startswith(expected)
    assert check.seen.startswith(seen)


@pytest.mark.parametrize(("gib", "seen"), [(1, "0.50 GiB"), (79, "78.50 GiB")])
def test_a_server_that_takes_another_share_than_it_was_told_is_refused(
    gib: int, seen: str, double: NvmlDouble, tmp_path: Path
) -> None:
    """Too little is no production's server, too much leaves no room for what it only estimates."""
    check = try_server(double, tmp_path, f"tell({gib} << 30, os.getpid())")["device"]
    expected = f"between 64.00 GiB and 76.00 GiB that come into use on the GPU {UUID}"
    assert (check.outcome, check.expected, check.seen) == (Outcome.FAILED, expected, seen)


@pytest.mark.parametrize(
    ("metrics", "expected", "seen"),
    [
        (METRICS % (0.5, 1000), "gpu_memory_utilization 0.9 in /metrics", "0.5"),
        (METRICS % (0.9, 0), "blocks of the KV cache on the GPU", "0"),
        (METRICS % (0.9, None), "blocks of the KV cache on the GPU", "None"),
        ("none", "vllm:cache_config_info in /metrics", "no such metric"),
    ],
)
def test_the_cache_must_be_on_the_gpu_by_the_servers_own_metrics(
    metrics: str, expected: str, seen: str, double: NvmlDouble, tmp_path: Path
) -> None:
    """With the share of memory that it was told."""
    check = try_server(double, tmp_path, SHARE, metrics=metrics)["device"]
    assert (check.outcome, check.expected, check.seen) == (Outcome.FAILED, expected, seen)


def test_memory_that_is_not_given_back_is_found(double: NvmlDouble, tmp_path: Path) -> None:
    """The next server would not start."""
    checks = try_server(double, tmp_path, SHARE, after="30 << 30")
    assert (checks["device"].outcome, checks["shutdown"].outcome) == (Outcome.PASSED, Outcome.FAILED)
    assert "back at 0.50 GiB within" in checks["shutdown"].expected
    assert checks["shutdown"].seen == "30.00 GiB"


@pytest.mark.needs("pids")
def test_memory_that_another_process_took_meanwhile_is_held_against_nobody(
    double: NvmlDouble, tmp_path: Path
) -> None:
    """Only the driver can tell whose it is."""
    shutdown = try_server(double, tmp_path, SHARE, after="30 << 30, 1")["shutdown"]
    assert shutdown.outcome is Outcome.INCONCLUSIVE
    assert "other processes use the GPU" in shutdown.seen


AFTER_THE_SERVERS = {"compilers", "quantized", "lora", "embed", "multimodal", "long_context"}


def test_a_gpu_that_others_use_is_the_machines_trouble(double: NvmlDouble, tmp_path: Path) -> None:
    """A server could not start for want of memory; so none is started."""
    double.tell(used=40 * GIB, pids=[1])
    checks = try_server(double, tmp_path, SHARE)
    trouble = inconclusive(CUDA_CELL, tuple(checks.values()))
    assert trouble
    assert "of no GPU here 0.9 of the memory is free, at most 0.50" in trouble.text
    assert {check.outcome for check in checks.values()} == {Outcome.INCONCLUSIVE}


@pytest.mark.parametrize(
    "start",
    [
        f"tell(0, status={IS_LOST}); sys.exit('torch.AcceleratorError: CUDA error: unknown error')",
        f"tell(0, status={IS_LOST})",
    ],
    ids=["and the server ends", "and the server answers on"],
)
def test_a_gpu_that_falls_off_the_bus_is_held_against_nobody(
    start: str, double: NvmlDouble, tmp_path: Path
) -> None:
    """Whatever fails on it fails because of it; there is one message, with the remedy.

    When its servers have ended, this GPU is back: the double is told so by each of them.
    """
    checks = try_server(double, tmp_path, start)
    of_servers = {check.outcome for name, check in checks.items() if name not in AFTER_THE_SERVERS}
    assert Outcome.FAILED not in of_servers
    trouble = inconclusive(CUDA_CELL, tuple(checks.values()))
    assert trouble
    assert f"the GPU {UUID} does not answer: GPU is lost" in trouble.text
    assert "Xid" in trouble.text


def test_a_gpu_that_is_gone_before_anything_starts_is_the_machines_trouble(
    double: NvmlDouble, tmp_path: Path
) -> None:
    """Between the plan, which saw it, and the launch."""
    double.tell(status=IS_LOST)
    checks = try_server(double, tmp_path, SHARE)
    assert {check.outcome for check in checks.values()} == {Outcome.INCONCLUSIVE}
    trouble = inconclusive(CUDA_CELL, tuple(checks.values()))
    assert trouble
    assert "the GPU number 0 does not answer: GPU is lost" in trouble.text


@pytest.mark.needs("pids")
@pytest.mark.parametrize("own", [frozenset({7}), None])
def test_memory_is_nobodys_fault_where_another_process_is_there(own: frozenset[int] | None) -> None:
    """Also one that was there before; where our own are not known, only such a one."""
    busy = Usage("GPU-a", 80 * GIB, GIB, frozenset({3}))
    with pytest.raises(MachineError, match=r"other processes use the GPU GPU-a meanwhile: \[3\]"):
        device.expect_memory(Taken(busy, replace(busy, pids=frozenset({3, 7}))), 0.9, own)
