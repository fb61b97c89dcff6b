"""By which policy a command judges: the one that is named, else that of the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.cli.options import Options
    from pipeline.runner.deploying import Judge


def judge(given: Options) -> Judge:
    """The gate for deployments. Raises UsageError where policy, matrix or a key cannot be read."""
    from pipeline import matrix  # noqa: PLC0415 - a policy alone needs none
    from pipeline.matrix import policy_file  # noqa: PLC0415
    from pipeline.runner.deploying import Judge  # noqa: PLC0415
    from pipeline.runner.trusting import Trust  # noqa: PLC0415

    if given.policy:
        return Judge.by(policy_file.read(given.policy), given.key)
    loaded = matrix.load(given.matrix, given.repository)
    signers = Trust(loaded, given.key_pem).as_signers()
    return Judge.by(policy_file.of_matrix(loaded, signers), given.key)
