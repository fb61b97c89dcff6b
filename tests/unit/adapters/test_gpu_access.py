"""How a container gets the GPUs, by what the engine and this machine say; and what to do where it cannot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters.engine import gpu_access
from pipeline.adapters.engine.gpu_access import GpuAccess
from pipeline.model.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without NVIDIA's toolkit, whose specifications would lie in ``cdi`` and ``run``."""
    for name in ("bin", "cdi", "run"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(gpu_access, "USUAL_FOLDERS", (str(tmp_path / "cdi"), str(tmp_path / "run")))


def has_toolkit(folder: Path) -> None:
    (folder / "bin" / "nvidia-ctk").write_text("#!/bin/sh\n")
    (folder / "bin" / "nvidia-ctk").chmod(0o755)


def specify(file: Path, *devices: str, kind: str = "nvidia.com/gpu", needs: str = "/dev/null") -> None:
    """Write a specification of devices, each of which needs this file of the host."""
    edits = {"deviceNodes": [{"path": "/dev/nvidia0", "hostPath": needs}]}
    rows = [{"name": name, "containerEdits": edits} for name in devices]
    file.write_text(json.dumps({"cdiVersion": "0.5.0", "kind": kind, "devices": rows}))


def cdi_on(folder: Path) -> dict[str, Any]:
    """What an engine says that reads specifications."""
    return {"Runtimes": {"runc": {}}, "CDISpecDirs": [str(folder / "cdi"), str(folder / "run")]}


def refusal(info: dict[str, Any]) -> EngineError:
    with pytest.raises(EngineError) as raised:
        gpu_access.gpu_access(info)
    return raised.value


# -- the ways -----------------------------------------------------------------------------------------


def test_nvidias_runtime_is_taken_where_the_engine_has_it() -> None:
    access = gpu_access.gpu_access(
        {"Runtimes": {"nvidia": {}}, "DiscoveredDevices": [{"ID": "nvidia.com/gpu=0"}]}
    )
    assert access == GpuAccess("runtime")
    assert access.request() == {
        "Driver": "", "Count": -1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {},
    }  # fmt: skip


def test_devices_that_the_engine_lists_are_asked_for_by_name() -> None:
    listed = [{"Source": "cdi", "ID": f"nvidia.com/gpu={name}"} for name in ("0", "all")]
    access = gpu_access.gpu_access({"DiscoveredDevices": [{"ID": "other.com/nic=all"}, *listed]})
    assert access == GpuAccess("cdi", ("nvidia.com/gpu=all",))
    assert access.request()["Driver"] == "cdi"
    assert access.request()["DeviceIDs"] == ["nvidia.com/gpu=all"]


def test_an_older_engine_lists_none_so_its_specifications_are_read(tmp_path: Path) -> None:
    specify(tmp_path / "cdi" / "nvidia.json", "0", "all")
    assert gpu_access.gpu_access(cdi_on(tmp_path)) == GpuAccess("cdi", ("nvidia.com/gpu=all",))


def test_without_a_device_for_all_each_is_asked_for(tmp_path: Path) -> None:
    """Whoever writes a specification by hand may name only some."""
    specify(tmp_path / "run" / "nvidia.yaml", "1", "0")
    assert gpu_access.gpu_access(cdi_on(tmp_path)).devices == ("nvidia.com/gpu=0", "nvidia.com/gpu=1")


def test_the_same_device_in_a_later_folder_is_no_conflict(tmp_path: Path) -> None:
    """It counts for more: /var/run/cdi before /etc/cdi."""
    for folder in ("cdi", "run"):
        specify(tmp_path / folder / "nvidia.json", "all")
    assert gpu_access.gpu_access(cdi_on(tmp_path)).devices == ("nvidia.com/gpu=all",)


# -- what is missing ----------------------------------------------------------------------------------


def test_without_the_toolkit_it_is_to_be_installed() -> None:
    error = refusal({"Runtimes": {"runc": {}}})
    assert error.what == "the engine gives no container a GPU: it has no nvidia runtime, nor any CDI device"
    assert error.hint.startswith("install nvidia-container-toolkit, then `nvidia-ctk runtime configure")


def test_with_the_toolkit_the_engine_is_to_be_configured(tmp_path: Path) -> None:
    has_toolkit(tmp_path)
    error = refusal({"Runtimes": {"runc": {}}})
    assert "though NVIDIA's toolkit is here" in error.what
    assert error.hint.startswith("`nvidia-ctk runtime configure --runtime=docker`, then `systemctl restart")


def test_a_specification_in_an_engine_without_cdi_asks_to_switch_it_on(tmp_path: Path) -> None:
    has_toolkit(tmp_path)
    specify(tmp_path / "cdi" / "nvidia.json", "all")
    error = refusal({"Runtimes": {"runc": {}}, "CDISpecDirs": []})
    assert "CDI is off in it, though a specification of nvidia.com/gpu is here" in error.what
    assert error.hint.startswith('`"features": {"cdi": true}` in /etc/docker/daemon.json')


@pytest.mark.parametrize("toolkit", [False, True])
def test_cdi_without_a_specification_asks_to_make_one(tmp_path: Path, *, toolkit: bool) -> None:
    specify(tmp_path / "cdi" / "other.json", "all", kind="other.com/nic")
    if toolkit:
        has_toolkit(tmp_path)
    error = refusal(cdi_on(tmp_path))
    assert f"CDI has no nvidia.com/gpu in {tmp_path}/cdi or {tmp_path}/run" in error.what
    assert f"`nvidia-ctk cdi generate --output={tmp_path}/cdi/nvidia.yaml`" in error.hint
    assert error.hint.startswith("install nvidia-container-toolkit") is not toolkit


# -- specifications that cannot be used ---------------------------------------------------------------


def _cut(file: Path) -> None:
    file.write_text('{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{')


def _stale(file: Path) -> None:
    specify(file, "all", needs="/usr/lib/libcuda.so.550.54.14")


def _huge(file: Path) -> None:
    file.write_bytes(b"#" * (gpu_access.MAX_SPECIFICATION_BYTES + 1))


def _folder(file: Path) -> None:
    file.mkdir()


def _binary(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_cut, "it is neither YAML nor JSON: line 1: "),
        (_stale, "the machine has no /usr/lib/libcuda.so.550.54.14; was the driver updated since?"),
        (_huge, "it is larger than"),
        (_folder, "it is no regular file"),
        (_binary, "'utf-8' codec"),
    ],
)
def test_a_specification_that_cannot_be_used_is_named_with_the_reason(
    spoil: Any, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "cdi" / "nvidia.yaml"
    spoil(file)
    error = refusal(cdi_on(tmp_path))
    assert error.what.startswith(f"the CDI specification {file} cannot be used: {why}")
    assert error.hint.startswith(f"make it again: `nvidia-ctk cdi generate --output={file}`")


def test_a_specification_whose_files_are_gone_is_named_though_the_engine_lists_its_devices(
    tmp_path: Path,
) -> None:
    """It would fail when a container starts."""
    _stale(tmp_path / "cdi" / "nvidia.yaml")
    listed = {"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}]}
    assert "was the driver updated since?" in refusal(cdi_on(tmp_path) | listed).what


def test_a_broken_one_beside_a_good_one_stops_nothing(tmp_path: Path) -> None:
    """The engine uses the good one, too."""
    _cut(tmp_path / "cdi" / "a.json")
    specify(tmp_path / "cdi" / "b.json", "all")
    assert gpu_access.gpu_access(cdi_on(tmp_path)).devices == ("nvidia.com/gpu=all",)


def test_a_device_that_two_of_one_folder_give_is_neithers(tmp_path: Path) -> None:
    """The engine refuses it then, without saying why."""
    for name in ("a.json", "b.json"):
        specify(tmp_path / "cdi" / name, "all")
    what = refusal(cdi_on(tmp_path)).what
    assert f"{tmp_path}/cdi/b.json cannot be used: nvidia.com/gpu=all is in {tmp_path}/cdi/a.json too" in what
