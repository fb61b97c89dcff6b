"""containerd 2: what it runs before each pull (its docs/image-verification.md); it asks our gate.

It is called with ``-name``, ``-digest`` and ``-stdin-media-type``, gets a descriptor on stdin, and says by
its exit code whether the image may be pulled: 0 alone is yes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.matrix import policy_file
from pipeline.model import PROJECT
from pipeline.report.admission import demands

if TYPE_CHECKING:
    from pipeline.model import Policy

VERIFIER, POLICY, SETTINGS = PROJECT, "policy.yaml", "containerd.toml"

FOLDER = f"/etc/{PROJECT}"

_SECONDS = 30
"""A start of Python, and a registry that does not answer, which the gate says within 20."""

_PROGRAM = """\
set -u
policy=${%(variable)s_POLICY:-%(folder)s/%(policy)s}
python=${%(variable)s_PYTHON:-python3}
name='' digest=''
while [ $# -gt 1 ]; do
    case $1 in
    -name) name=$2 ;;
    -digest) digest=$2 ;;
    esac
    shift 2
done
repository=${name%%@*}
case ${repository##*/} in
*:*) repository=${repository%%:*} ;;
esac
exec "$python" -m pipeline gate "$repository@$digest" --policy "$policy" </dev/null
"""


def files(policy: Policy) -> dict[str, str]:
    """The program, the policy that it judges by, and where containerd is told of it."""
    head = demands.head(
        policy,
        "all of it, at each pull. It refuses every image of a repository that the"
        " policy does not name, the sandbox image too, and whatever cannot be found out, as when a"
        " registry is down.",
        f"It belongs alone in the folder that {SETTINGS} names, executable; {POLICY} in {FOLDER}. It needs"
        f" a python3 in which {PROJECT} is installed (${PROJECT.upper()}_PYTHON), and Docker's login"
        " of the user that runs containerd, where the registry asks for one.",
        "An image that is on the host already is not asked about.",
    )
    program = _PROGRAM % {"folder": FOLDER, "policy": POLICY, "variable": PROJECT.upper()}
    settings = (
        '[plugins."io.containerd.image-verifier.v1.bindir"]\n'
        '  bin_dir = "/opt/containerd/image-verifier/bin"\n'
        "  max_verifiers = 10\n"
        f'  per_verifier_timeout = "{_SECONDS}s"\n'
    )
    return {
        VERIFIER: f"#!/bin/sh\n{head}{program}",
        SETTINGS: settings,
        POLICY: policy_file.text_of(policy),
    }
