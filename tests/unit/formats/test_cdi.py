"""CDI specifications: what is read of one, and what is wrong with another."""

from __future__ import annotations

import pytest

from pipeline.formats.cdi import Specification, read

GENERATED = """
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
- name: all
  containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
      hostPath: /run/nvidia/driver/dev/nvidia0
containerEdits:
  deviceNodes:
  - path: /dev/nvidiactl
  env:
  - NVIDIA_VISIBLE_DEVICES=void
  hooks:
  - hookName: createContainer
    path: /usr/bin/nvidia-cdi-hook
    args: [nvidia-cdi-hook, update-ldcache, --folder, /usr/lib/x86_64-linux-gnu]
  mounts:
  - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06
    containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06
    options: [ro, nosuid, nodev, bind]
"""
"""As nvidia-ctk writes it."""


def test_devices_and_all_that_they_need_of_the_host_are_read() -> None:
    assert read(GENERATED) == Specification(
        "nvidia.com/gpu",
        ("0", "all"),
        (
            "/dev/nvidiactl",
            "/usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06",
            "/usr/bin/nvidia-cdi-hook",
            "/dev/nvidia0",
            "/run/nvidia/driver/dev/nvidia0",
        ),
    )


def test_json_is_read_too_and_what_is_empty_may_be_left_out() -> None:
    device = '{"name": "x", "containerEdits": {"mounts": null}}'
    text = f'{{"cdiVersion": "0.5.0", "kind": "a.b/c", "devices": [{device}]}}'
    assert read(text) == Specification("a.b/c", ("x",), ())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Input should be"),
        ("[]", "Input should be"),
        ('{"cdiVersion": "0.5.0", "devices": [{', "it is neither YAML nor JSON: line 1: "),
        ("a: b: c", "it is neither YAML nor JSON: line 1: mapping values are not allowed here"),
        ("\0", "it is neither YAML nor JSON: ReaderError"),
        ("[" * 5000, "it is neither YAML nor JSON: "),
        ("2001-99-99", "it is neither YAML nor JSON: ValueError"),
        (GENERATED.replace("cdiVersion: 0.5.0", ""), "cdiVersion: Field required"),
        (GENERATED.replace("nvidia.com/gpu", "gpu"), "kind: String should match"),
        (GENERATED.replace('"0"', "0"), "devices.0.name: Input should be a valid string"),
        (GENERATED.replace('"0"', '""'), "devices.0.name: String should have at least 1 character"),
        (
            GENERATED.replace("path: /usr/bin/nvidia-cdi-hook", ""),
            "containerEdits.hooks.0.path: Field required",
        ),
        ("cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: []", "devices: List should have at least 1 item"),
        ("cdiVersion: 0.5.0\nkind: nvidia.com/gpu", "devices: Field required"),
    ],
)
def test_what_is_none_is_refused_with_place_and_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^") as raised:
        read(text)
    assert str(raised.value).startswith(why)
