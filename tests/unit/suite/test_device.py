"""What is concluded from what the driver tells of a GPU, before, during and after a trial."""

from __future__ import annotations

import pytest

from pipeline.adapters.gpu import Usage
from pipeline.model.errors import MachineError
from pipeline.suite import device
from pipeline.suite.device import Taken
from pipeline.suite.expect import Mismatch

GIB = 1 << 30
IDLE, OTHER = (Usage(f"GPU-{name}", 80 * GIB, GIB, frozenset()) for name in "ab")

METRICS = """# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",gpu_memory_utilization="0.9",\
kv_cache_memory_bytes="None",num_cpu_blocks="None",num_gpu_blocks="27411",prefix="a \\"b\\", c"} 1.0
vllm:num_requests_running{engine="0"} 0.0
""".replace("\\\n", "")


def taken(used: int, *pids: int, before: Usage = IDLE) -> Taken:
    """A GPU with so many GiB in use, by these processes."""
    return Taken(before, Usage(before.uuid, before.total_bytes, used * GIB, frozenset(pids)))


def test_of_several_gpus_the_one_that_torch_names_counts() -> None:
    """What others do on their GPUs is no matter of this trial's; without a name all are looked at."""
    assert device.chosen((IDLE, OTHER), "GPU-b") == (OTHER,)
    assert device.chosen((IDLE, OTHER), None) == (IDLE, OTHER)


def test_the_gpu_of_which_most_was_taken_is_the_one_where_none_is_named() -> None:
    watch = device.Watch((IDLE, OTHER))
    watch._most[OTHER.uuid] = Usage(OTHER.uuid, 80 * GIB, 9 * GIB, frozenset({1}))
    assert watch.taken(None).uuid == OTHER.uuid
    assert watch.taken(IDLE.uuid).bytes == 0


def test_without_a_gpu_nothing_can_be_found_out() -> None:
    with pytest.raises(MachineError, match="tells of no GPU here"):
        device.Watch(()).taken(None)


@pytest.mark.parametrize("used", [65, 73, 76])
def test_a_share_of_memory_may_be_a_little_off(used: int) -> None:
    """Below by what is kept for the largest batch, above by what is only estimated."""
    device.expect_memory(taken(used), 0.9, frozenset())


@pytest.mark.parametrize("used", [1, 64, 78])
def test_another_share_of_memory_is_a_mismatch(used: int) -> None:
    with pytest.raises(Mismatch, match=r"between 64\.00 GiB and 76\.00 GiB"):
        device.expect_memory(taken(used), 0.9, frozenset())


def test_without_a_share_any_process_takes_more_than_a_context() -> None:
    device.expect_memory(taken(2), None, None)
    with pytest.raises(Mismatch, match=r"0\.06 GiB"):
        device.expect_memory(taken(1), None, None)


def test_a_process_of_the_environment_is_told_by_its_number() -> None:
    assert device.expect_process(taken(2, 7, 8), frozenset({8, 9})) == "8"
    assert device.expect_process(taken(2, 7, 8), None) == "7, 8"


def test_too_little_free_memory_is_the_machines_trouble() -> None:
    """One GPU with room is enough."""
    full = Usage("GPU-c", 80 * GIB, 60 * GIB, frozenset())
    device.expect_room((full, IDLE), 0.9)
    device.expect_room((), 0.9)
    with pytest.raises(MachineError, match=r"at most 0\.25"):
        device.expect_room((full,), 0.9)


def test_the_servers_own_word_on_its_cache_is_read() -> None:
    """With whatever a label holds."""
    assert device.cache_config(METRICS)["prefix"] == 'a \\"b\\", c'
    assert device.expect_cache(METRICS, 0.9) == 27411
    with pytest.raises(Mismatch, match=r"gpu_memory_utilization 0\.8"):
        device.expect_cache(METRICS, 0.8)
