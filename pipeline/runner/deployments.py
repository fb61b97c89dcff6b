"""A server that runs already, asked by its address; the record is kept here and never counts for a tag."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.model import PROJECT, Stage, shown
from pipeline.model.errors import UsageError
from pipeline.runner.trying import now
from pipeline.stages import ask, attest
from pipeline.suite.deployed import Deployed, address

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Check, Deployment, DeploymentRecord
    from pipeline.report.progress import ProgressReporter
    from pipeline.runner.services import Services

MAX_KEY_BYTES = 4096
_ANSWER_SECONDS = 60.0
_FOLDER = "deployments"


def try_out(
    services: Services, reporter: ProgressReporter, url: str, model: str | None, key_file: Path | None
) -> DeploymentRecord:
    """What is seen of the server at an address, signed and kept in ``.state``.

    Raises MachineError where nobody listens there, UsageError where the address, the key or the model is not
    one, SigningError where nothing can be signed.
    """
    signing_key, started = services.key, now()
    says, checks = asked(reporter, url, model, key_file)
    path = services.settings.state(_FOLDER) / f"{says.digest.hex}.json"
    words = ("--replay", f".state/{_FOLDER}/{path.name}", *services.settings.given)
    replay = shlex.join(["python", "-m", "pipeline", "verify", *words])
    record = ask.record(says, checks, started=started, finished=now(), replay=replay)
    files.write(path, attest.deployments.sign(record, signing_key))
    reporter.note(says.name, f"the signed record is {path}")
    return record


def asked(
    reporter: ProgressReporter, url: str, model: str | None, key_file: Path | None
) -> tuple[Deployment, tuple[Check, ...]]:
    """What the server at an address says of itself, and what becomes of each check. Raises as above."""
    with Deployed(address(url), model, _key_in(key_file), _ANSWER_SECONDS) as server:
        name = server.says.name
        with reporter.timed(name, Stage.VERIFY):
            return server.says, ask.ask(server, lambda check: reporter.note(name, f"{Stage.VERIFY}: {check}"))


def _key_in(file: Path | None) -> str | None:
    """The key in a file: one line. Raises UsageError where it holds none."""
    if file is None:
        return None
    try:
        key = files.read(file, MAX_KEY_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "holds no text"
        raise UsageError(f"the key in {file} cannot be read: it {why}", hint=_KEY_HINT) from error
    if not key or not key.isprintable() or " " in key:
        raise UsageError(f"{shown(file)} does not hold one key", hint=_KEY_HINT)
    return key


_KEY_HINT = f"write the key of the server into it, alone on one line; {PROJECT} keeps it nowhere"
