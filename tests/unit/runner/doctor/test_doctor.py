"""The page of a host: all of it at once, and within some seconds whatever hangs."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import matrix
from pipeline.adapters import host, signing_keys
from pipeline.compat.gpus_here import HostSight
from pipeline.model import Repository
from pipeline.model.examinations import Aspect, Standing
from pipeline.runner import doctor
from pipeline.runner.doctor import engines, keys, machine, sources, storage
from pipeline.runner.doctor.bounded import LateError, Look
from pipeline.runner.services import Services, Settings
from tests.unit.compat.test_gpus_here import H100

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[4]
NOTHING: dict[str, Any] = {
    **dict.fromkeys(("nodes", "card_drivers", "gpus", "peers"), ()),
    **dict.fromkeys(("module", "library", "driver"), ""),
    **dict.fromkeys(("cards", "switches", "cuda"), 0),
    **dict.fromkeys(("has_fabric_manager", "has_iommu"), False),
    "failure": 12,
    "said": "NVML Shared Library Not Found",
}
WITH_GPU = {"failure": None, "driver": "580.65.06", "cuda": 13000, "gpus": (H100,), "cards": 1}


def seen(**changes: Any) -> HostSight:
    return HostSight.model_validate(NOTHING | changes)


def fine(name: str) -> Aspect:
    return Aspect(name, Standing.GOOD, "well")


@pytest.fixture(autouse=True)
def well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host where all is well and there is no GPU; each test changes one thing."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(engines, "engine", lambda: engines.EngineLook((fine("engine"), fine("buildkit"))))
    monkeypatch.setattr(machine, "gpus", seen)
    monkeypatch.setattr(storage, "registry", lambda _: fine("registry"))
    monkeypatch.setattr(sources, "index", lambda _: fine("index"))
    monkeypatch.setattr(host, "room", lambda _: {("wheels",): 10**13})
    for limit in ("ENGINE_SECONDS", "REGISTRY_SECONDS"):
        monkeypatch.setattr(doctor, limit, 0.5)
    monkeypatch.setattr(machine, "GPU_SECONDS", -1.5)
    monkeypatch.setattr(sources, "INDEX_SECONDS", 0.5)


@pytest.fixture
def services() -> Services:
    return Services(Settings(matrix.load(ROOT / "matrix.yaml")))


@pytest.fixture
def hanging() -> Iterator[Any]:
    """What hangs until the test is over."""
    over = threading.Event()
    yield lambda *_: over.wait(30)
    over.set()


def named(examination: Any) -> dict[str, Aspect]:
    return {aspect.name: aspect for aspect in examination.aspects}


# -- the whole page -----------------------------------------------------------------------------------


def test_a_laptop_without_a_gpu_is_well(services: Services) -> None:
    page = doctor.examine(services)
    assert not page.at(Standing.BROKEN, Standing.UNKNOWN)
    assert page.is_of_use
    prospects = {prospect.cell.id: prospect for prospect in page.prospects}
    cpu = prospects["vllm0.32.0-torch2.13.0-cpu-py3.11"]
    assert (cpu.build, cpu.rehearse, cpu.prove) == ("", None, "")
    cuda = prospects["vllm0.32.0-torch2.13.0-cu130-py3.11"]
    assert (cuda.build, cuda.rehearse, cuda.prove) == ("", "", "needs a GPU")
    assert "`python -m pipeline verify` on a machine for linux/amd64 with an NVIDIA GPU" in cuda.hint


def test_a_gpu_proves_what_its_driver_can_run(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: seen(**WITH_GPU))
    prospects = doctor.examine(services).prospects
    assert not next(
        one for one in prospects if one.cell.cuda == "cu130" and one.cell.machine == "x86_64"
    ).prove
    old = seen(**WITH_GPU | {"driver": "550.54.14", "cuda": 12040})
    monkeypatch.setattr(machine, "gpus", lambda: old)
    prospects = doctor.examine(services).prospects
    why = next(one.prove for one in prospects if one.cell.cuda == "cu130" and one.cell.machine == "x86_64")
    assert "CUDA 13 needs driver 580 or newer" in why


def test_without_an_engine_nothing_can_be_built(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    none = Aspect("engine", Standing.ABSENT, "no container engine is here", "apt-get install docker.io")
    monkeypatch.setattr(engines, "engine", lambda: engines.EngineLook((none,)))
    page = doctor.examine(services)
    assert not page.is_of_use
    assert {(one.build, one.prove) for one in page.prospects} == {("needs an engine", "needs an engine")}


def test_without_a_matrix_it_is_the_host_alone() -> None:
    page = doctor.examine(None, (Repository("registry.example.org", "a"),))
    assert not page.prospects
    assert {"engine", "registry", "index", "key", "processor", "memory"} <= set(named(page))


def test_a_cell_for_another_processor_needs_that(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "executes", lambda machine: machine == "x86_64")
    arm = next(one for one in doctor.examine(services).prospects if one.cell.machine == "aarch64")
    assert arm.build == "needs linux/arm64, or its emulation"
    assert arm.prove == arm.rehearse == "needs linux/arm64"


# -- what hangs ---------------------------------------------------------------------------------------


def test_whatever_hangs_is_unknown_and_holds_nobody(
    services: Services, hanging: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "engine", hanging)
    monkeypatch.setattr(machine, "gpus", hanging)
    monkeypatch.setattr(storage, "registry", hanging)
    monkeypatch.setattr(sources, "index", hanging)
    began = time.monotonic()
    page = doctor.examine(services)
    assert time.monotonic() - began < 5
    late = {aspect.name for aspect in page.at(Standing.UNKNOWN)}
    assert late == {"engine", "driver", "registry", "index"}
    assert all(aspect.hint for aspect in page.at(Standing.UNKNOWN))


def test_a_look_that_fails_fails_where_it_is_asked_for() -> None:
    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Look(fails, 5).result()


def test_a_look_in_time_has_its_result(hanging: Any) -> None:
    assert Look(lambda: 1, 5).result() == 1
    with pytest.raises(LateError):
        Look(hanging, 0.05).result()


def test_an_index_that_does_not_answer_hinders_only_who_has_to_fetch() -> None:
    late = Aspect("index", Standing.UNKNOWN, "the index does not answer within 6 s", sources.NO_INDEX)
    assert sources.as_far_as_needed(late, ()).standing is Standing.LIMITED
    assert sources.as_far_as_needed(fine("index"), ()).standing is Standing.GOOD


def test_a_driver_that_hangs_is_asked_by_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("pipeline.suite.probes.source", lambda _: "import time; time.sleep(60)")
    monkeypatch.setattr(machine, "GPU_SECONDS", 0.5)
    with pytest.raises(machine.NoGpuAnswerError, match="does not answer within"):
        machine.gpus()


def test_what_asks_the_driver_may_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("pipeline.suite.probes.source", lambda _: "import os; os.abort()")
    with pytest.raises(machine.NoGpuAnswerError, match="ended with code -6"):
        machine.gpus()


def test_this_machine_can_be_asked_for_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it has: the probe and what reads it speak one language."""
    monkeypatch.undo()
    assert isinstance(machine.gpus(), HostSight)


# -- key, processor, base -----------------------------------------------------------------------------


def test_no_key_is_made_for_the_page(tmp_path: Path, services: Services) -> None:
    assert keys.key(services).text == "none yet: one is made with the first proof"
    assert not (tmp_path / "tagproof").exists()


def test_the_key_is_told_by_its_fingerprint(services: Services) -> None:
    signing_keys.load()
    assert keys.key(services).text.endswith("trusted on this machine alone: the matrix names no signers")


def test_a_key_that_others_may_read_is_broken(tmp_path: Path) -> None:
    signing_keys.load()
    (tmp_path / "tagproof" / "signing.pem").chmod(0o644)
    broken = keys.key(None)
    assert broken.standing is Standing.BROKEN
    assert broken.hint.startswith("chmod 600")


@pytest.mark.parametrize(
    ("flags", "standing", "words"),
    [
        ("flags : avx avx2 avx512f amx_bf16", Standing.GOOD, "AVX-512, amx_bf16"),
        ("flags : avx avx2", Standing.LIMITED, "AVX2 and no AVX-512: vLLM's own CPU image ends there"),
        ("flags : sse4_2", Standing.LIMITED, "neither AVX2 nor AVX-512"),
        ("", Standing.UNKNOWN, "names no features"),
    ],
)
def test_the_processor_is_told_by_what_vllms_cpu_kernels_ask(
    flags: str, standing: Standing, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """See https://github.com/vllm-project/vllm/issues/18660: Illegal instruction without AVX-512."""
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    monkeypatch.setattr(machine, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("os.uname", lambda: type("Uname", (), {"machine": "x86_64"}))
    aspect = machine.processor()
    assert aspect.standing is standing
    assert words in aspect.text


def test_the_memory_of_a_control_group_is_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text("1000000000\n")
    monkeypatch.setattr(machine, "_GROUPS_LIMIT", tmp_path / "memory.max")
    assert machine.memory().text.startswith("1.00 GB, ")
    assert "a control group's limit" in machine.memory().text


def test_what_makes_a_base_is_looked_for(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    (base,) = sources.base(services.matrix.specs)
    assert base.standing is Standing.ABSENT
    assert "apt-get install mmdebstrap" in base.hint
