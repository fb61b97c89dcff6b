"""The commands, by group, in the order of the path from a matrix to a tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli.commands import (
    audit,
    build,
    certify,
    diagnose,
    diff,
    doctor,
    explain,
    export,
    gate,
    gpu_day,
    history,
    import_,
    lock,
    plan,
    policy,
    prune,
    publish,
    refresh,
    repair,
    report,
    rollback,
    sbom,
    scan,
    verify,
    which,
    yank,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.cli.command import Command

GROUPS: Mapping[str, tuple[Command, ...]] = {
    "find out what can be had": (plan.COMMAND, explain.COMMAND, doctor.COMMAND),
    "find out what went wrong": (diagnose.COMMAND,),
    "make images": (lock.COMMAND, build.COMMAND),
    "prove images": (which.COMMAND, certify.COMMAND, verify.COMMAND, gpu_day.COMMAND),
    "publish what is proven": (publish.COMMAND, repair.COMMAND, report.COMMAND, diff.COMMAND),
    "know what is in them": (sbom.COMMAND, scan.COMMAND),
    "take back what was published": (yank.COMMAND, rollback.COMMAND, history.COMMAND, prune.COMMAND),
    "deploy what is proven": (gate.COMMAND, policy.COMMAND, audit.COMMAND),
    "bring it elsewhere": (export.COMMAND, import_.COMMAND),
    "keep up with new releases": (refresh.COMMAND,),
}

COMMANDS: Mapping[str, Command] = {
    command.name: command for commands in GROUPS.values() for command in commands
}
"""Each by its name."""
