"""A policy as files for what admits images: they ask there for our proof, as far as each program can.

demands            what is asked in every one of them, and what none can express
policy_controller  sigstore's admission controller for Kubernetes
kyverno            another one
podman             podman, CRI-O, skopeo and all else that reads containers-policy.json(5)
containerd         a verifier that asks our own gate at each pull
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.report.admission import containerd, kyverno, podman, policy_controller

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.model import Policy

TARGETS: Mapping[str, Callable[[Policy], dict[str, str]]] = {
    "policy-controller": policy_controller.files,
    "kyverno": kyverno.files,
    "podman": podman.files,
    "containerd": containerd.files,
}
"""For each program the files that it wants, by name."""

PROGRAM = containerd.VERIFIER
"""The file among them that is run."""


def text_of(files: Mapping[str, str]) -> str:
    """All of them as one text: one as it is, several each under its name."""
    if len(files) == 1:
        return "".join(files.values())
    return "\n".join(f"# ---- {name}\n{text}" for name, text in files.items())
