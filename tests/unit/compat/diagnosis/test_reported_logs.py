"""Logs from public threads whose end is known, retold: the true cause is named, and the tempting one is not.

Names, paths and times are replaced. Each has the thread in which the cause was found.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.compat import diagnosis
from pipeline.model.diagnoses import Blame, Diagnosis


def reported(name: str) -> str:
    """The log of this name."""
    return (Path(__file__).parent / "logs" / "reported" / f"{name}.log").read_text("utf-8")


def only(log: str) -> Diagnosis:
    """The one cause that is named."""
    (found,) = diagnosis.of_text(log).diagnoses
    return found


FABRIC = reported("fabric")


def test_802_is_fabric_manager_and_neither_compat_nor_an_old_driver() -> None:
    """https://github.com/MiniMax-AI/MiniMax-M2.5/issues/9, https://github.com/gpustack/gpustack/issues/4154."""
    found = only(FABRIC)
    assert (found.id, found.blame, found.line) == ("fabric-manager", Blame.HOST, 6)
    assert "nvidia-fabricmanager" in found.remedy
    assert "compat" not in found.cause + found.remedy
    assert "uvm_disable_hmm" in found.decides


BY_UUID = reported("by_uuid")


def test_a_device_by_uuid_is_no_problem_of_the_model() -> None:
    """https://github.com/vllm-project/vllm/issues/41848, https://github.com/vllm-project/vllm/issues/20939."""
    found = only(BY_UUID)
    assert (found.id, found.blame) == ("device-by-uuid", Blame.USAGE)
    assert "0.20.1" in found.cause
    assert "--gpus device=MIG" in found.remedy
    assert "transformers" not in found.remedy.lower()


NO_NAME = reported("no_name")


def test_a_user_without_a_name_needs_a_name_and_not_only_a_cache() -> None:
    """https://github.com/vllm-project/vllm/issues/44548."""
    found = only(NO_NAME)
    assert (found.id, found.blame) == ("user-without-name", Blame.IMAGE)
    assert "1000800000" in found.cause
    assert "set USER" in found.remedy
    assert "TORCHINDUCTOR_CACHE_DIR alone is not enough" in found.remedy


OLD_NVCC = reported("old_nvcc")


def test_requires_sm75_on_blackwell_is_an_old_nvcc() -> None:
    """https://github.com/vllm-project/vllm/issues/50705."""
    found = only(OLD_NVCC)
    assert (found.id, found.blame) == ("nvcc-older-than-gpu", Blame.IMAGE)
    assert "nvcc 12.8 is older than the GPU (RTX PRO 6000 Blackwell Server Edition)" in found.cause
    assert "wrong about itself" in found.contradicts


def test_it_is_recognised_without_the_warning_that_is_often_swallowed() -> None:
    without = OLD_NVCC.replace("SM 12.x requires CUDA >= 12.9", "")
    other = without.replace(
        "FlashInfer requires GPUs with sm75 or higher",
        "No supported CUDA architectures found for major versions [12].",
    )
    assert only(without).id == only(other).id == "nvcc-older-than-gpu"


def test_on_a_gpu_that_is_too_old_the_same_words_are_right() -> None:
    found = only(
        OLD_NVCC.replace("RTX PRO 6000 Blackwell Server Edition", "Tesla V100-SXM2-32GB").replace(
            "(EngineCore pid=702) WARNING flashinfer.compilation_context: SM 12.x requires CUDA >= 12.9\n", ""
        )
    )
    assert found.id == "gpu-too-old-for-flashinfer"
    assert not found.contradicts


HANG = reported("hang")


def test_a_hang_after_peer_channels_is_the_hosts_pci_express() -> None:
    """https://github.com/vllm-project/vllm/issues/33041, https://github.com/NVIDIA/nccl/issues/2079."""
    found = only(HANG)
    assert (found.id, found.blame) == ("peer-writes-lost", Blame.HOST)
    assert "NCCL_P2P_DISABLE=1" in found.remedy
    assert "--shm-size" not in found.remedy
    assert "NCCL_P2P_DISABLE=1" in found.decides


def test_the_same_last_line_without_peer_channels_has_more_than_one_cause_and_the_deciding_line() -> None:
    """Through shared memory (SHM) it cannot be swallowed peer access: that is left open."""
    found = only(HANG.replace("via P2P/CUMEM", "via SHM/direct/direct"))
    assert found.id == "worker-waits"
    assert "`via SHM` means that it is not that" in found.decides


def test_a_server_that_came_up_after_the_wait_was_only_slow() -> None:
    healthy = diagnosis.of_text(f"{HANG}(APIServer pid=1) INFO:     Application startup complete.\n")
    assert not healthy.diagnoses


SMALL_SM = reported("small_sm")


def test_shared_memory_of_a_kernel_is_neither_dev_shm_nor_the_gpus_memory() -> None:
    """https://github.com/vllm-project/vllm/issues/36802, https://github.com/triton-lang/triton/issues/8182."""
    found = only(SMALL_SM)
    assert found.id == "on-chip-memory"
    assert "81920" in found.cause
    assert "65536" in found.cause
    assert "--shm-size" not in found.remedy
    assert "--gpu-memory-utilization" not in found.remedy


NO_AVX = reported("no_avx")


def test_an_illegal_instruction_of_the_processor_is_the_hosts() -> None:
    """https://github.com/vllm-project/vllm/issues/18660; the exit code is all that Kubernetes shows."""
    found = only(NO_AVX)
    assert (found.id, found.blame) == ("cpu-too-old", Blame.HOST)
    assert "AVX-512" in found.cause
    assert only("    Last State:     Terminated\n      Exit Code:    132\n").id == "cpu-too-old"


HALVES = reported("halves")


def test_two_halves_of_flashinfer_are_named_with_their_versions() -> None:
    """https://github.com/vllm-project/vllm/issues/49804."""
    found = only(HALVES)
    assert found.id == "flashinfer-halves"
    assert found.cause.startswith("flashinfer-cubin is of version 0.6.13, and flashinfer of 0.6.14")
    assert "uninstall flashinfer-cubin" in found.remedy


ASSEMBLER = reported("assembler")


def test_the_wheels_assembler_is_too_old_though_the_systems_cuda_is_new() -> None:
    """https://github.com/vllm-project/vllm/issues/32575, https://github.com/triton-lang/triton/issues/8539."""
    found = only(ASSEMBLER)
    assert found.id == "triton-assembler-too-old"
    assert "/x/triton/backends/nvidia/bin" in found.cause
    assert "TRITON_PTXAS_PATH" in found.remedy
    assert "no error of Triton's code" in found.contradicts


JETSON = reported("jetson")


def test_a_jetsons_driver_comes_with_jetpack() -> None:
    """https://github.com/NVIDIA-AI-IOT/jetson-ai-lab/issues/421."""
    found = only(JETSON)
    assert found.id == "driver-of-jetson"
    assert "13.0" in found.cause
    assert "12.6" in found.cause
    assert "NVIDIA_DISABLE_REQUIRE would only move the failure" in found.remedy


def test_the_same_refusal_on_a_server_is_the_hosts_driver() -> None:
    found = only(JETSON.rpartition("Jetson")[0])
    assert (found.id, found.blame) == ("driver-refused", Blame.HOST)


LINK = reported("link")


def test_a_link_that_fails_is_no_missing_driver() -> None:
    """https://github.com/llm-d/llm-d/issues/1063, https://github.com/llm-d/llm-d/pull/1147."""
    found = only(LINK)
    assert (found.id, found.blame) == ("driver-not-linkable", Blame.IMAGE)
    assert "it is in /usr/local/nvidia/lib64" in found.cause
    assert "LIBRARY_PATH" in found.remedy
    assert "never to a compat folder" in found.remedy
    assert "not say that there is no driver" in found.contradicts


POINTER = reported("pointer")


def test_a_pointer_file_is_no_lack_of_memory() -> None:
    """https://github.com/vllm-project/vllm/issues/29762, https://github.com/vllm-project/vllm/pull/57975."""
    found = only(POINTER)
    assert (found.id, found.blame) == ("pointer-files", Blame.MODEL)
    assert "git lfs pull" in found.remedy
    assert "no lack of memory" in found.contradicts
    assert (
        only("safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge").id
        == found.id
    )


def test_a_memory_error_elsewhere_is_the_machines_memory() -> None:
    assert only("Traceback (most recent call last):\nMemoryError\n").id == "host-memory"
