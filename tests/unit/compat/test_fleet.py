"""Where the one stack of a fleet is broken."""

from __future__ import annotations

from typing import Any

from pipeline.compat.fleet import Odd, fleet_of
from pipeline.model.identities import Identity

ARCHS = ("sm_80", "sm_90")


def one(name: str, **more: Any) -> Identity:
    """An image for CUDA 13, unless told otherwise."""
    words = {"torch": "2.11.0+cu130", "cuda": "13.0", "driver": "580", "architectures": ARCHS, **more}
    return Identity(name=name, digest="", platform="linux/amd64", seen_in="files", **words)


def older(name: str) -> Identity:
    return one(name, torch="2.9.0+cu128", cuda="12.8", driver="525.60.13")


def test_a_fleet_of_one_stack_is_whole_and_says_what_its_hosts_need() -> None:
    fleet = fleet_of([one("a"), one("b")])
    assert (fleet.driver, fleet.needed_by, fleet.architectures) == ("580", ("a", "b"), ARCHS)
    assert not fleet.splits
    assert not fleet.is_broken


def test_the_one_with_another_major_of_cuda_is_odd() -> None:
    fleet = fleet_of([older("a"), older("b"), one("c")])
    cuda = fleet.splits[0]
    assert (cuda.axis, cuda.common, cuda.count, cuda.odd) == ("CUDA", "12", 2, (Odd("c", "13"),))
    assert fleet.is_broken
    assert (fleet.driver, fleet.needed_by) == ("580", ("c",))


def test_a_cpu_build_among_builds_for_cuda_is_odd() -> None:
    cpu = one("cpu", torch="2.11.0+cpu", cuda="", driver="", architectures=None)
    fleet = fleet_of([one("a"), one("b"), cpu])
    assert [(split.axis, split.odd) for split in fleet.splits] == [("CUDA", (Odd("cpu", "none"),))]


def test_minors_of_cuda_share_a_host_and_are_no_break() -> None:
    fleet = fleet_of([one("a"), one("b", cuda="13.2")])
    assert not fleet.splits


def test_another_torch_differs_and_does_not_break() -> None:
    fleet = fleet_of([one("a"), one("b"), one("c", torch="2.13.0")])
    assert [(split.axis, split.odd) for split in fleet.splits] == [("torch", (Odd("c", "2.13.0"),))]
    assert not fleet.is_broken


def test_one_without_code_for_a_gpu_that_the_others_reach_breaks_the_fleet() -> None:
    fleet = fleet_of([one("a"), one("b"), one("c", architectures=("sm_80",))])
    assert [(split.axis, split.odd) for split in fleet.splits] == [
        ("architectures", (Odd("c", "lacks sm_90"),))
    ]
    assert fleet.architectures == ("sm_80",)
    assert fleet.is_broken


def test_one_that_reaches_more_than_the_others_is_not_odd() -> None:
    assert not fleet_of([one("a"), one("b"), one("c", architectures=(*ARCHS, "sm_120"))]).splits


def test_what_is_not_known_of_one_is_held_against_none() -> None:
    fleet = fleet_of([one("a"), one("b", architectures=None, driver="")])
    assert not fleet.splits


def test_an_image_without_any_of_the_stack_is_of_no_account() -> None:
    sidecar = one("proxy", torch="", cuda="", driver="", architectures=None)
    assert not fleet_of([one("a"), one("b"), sidecar]).splits


def test_of_two_halves_the_newer_is_the_common_one() -> None:
    assert fleet_of([older("a"), one("b")]).splits[0].odd == (Odd("a", "12"),)
