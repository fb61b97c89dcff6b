"""Secrets in the environment, the history or files, which everyone who can pull the image can read."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from pipeline.formats.secrets import form_of
from pipeline.model import ImageFinding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="config")

_NETRC = re.compile(r"\bpassword\s+\S+")
_DOCKER = re.compile(r'"(?:auth|identitytoken)"\s*:\s*"[A-Za-z0-9+/=._-]{8,}"')
_BY_FILE = {".netrc": ("a password", _NETRC), "config.json": ("a registry's password", _DOCKER)}

_NAMES = re.compile(r"(?:PASSWORD|PASSWD|SECRET|TOKEN|API_KEY|ACCESS_KEY|SECRET_KEY)$")
_MIN_SECRET_LENGTH = 8
_HOSTS_OWN = ("/etc/ssh/ssh_host_", "/etc/ssl/private/ssl-cert-snakeoil.key")


def settings(image: ImageModel) -> Iterator[ImageFinding]:
    """The environment and the history hold no secret."""
    for name, value in image.inventory.config.env:
        if form := form_of(value):
            yield _secret_finding(f"the environment variable {name} holds {form}", "")
        elif _NAMES.search(name) and len(value) >= _MIN_SECRET_LENGTH and not value.startswith(("/", "$")):
            yield _finding(
                severity=Severity.WARNING,
                text=f"the environment variable {name} is set, and named like a secret",
                why="everyone who can pull the image can read it",
                hint="pass it to the container when it starts",
            )
    for number, text in enumerate(image.inventory.config.history, start=1):
        if form := form_of(text):
            yield _secret_finding(f"step {number} of the image's history holds {form}", "")


def files(image: ImageModel) -> Iterator[ImageFinding]:
    """Files for credentials contain none."""
    for path, text in sorted(image.inventory.texts.items()):
        form = form_of(text)
        by_file = _BY_FILE.get(path.rpartition("/")[2])
        if form is None and by_file and by_file[1].search(text):
            form = by_file[0]
        if form and path.startswith(_HOSTS_OWN):
            yield _finding(
                severity=Severity.WARNING,
                path=path,
                text=f"it holds {form} that every container of this image shares",
                why="a package's installation generated it; everyone who has the image can impersonate them",
                hint="remove it, and generate it when the container starts, if it is needed",
            )
        elif form:
            yield _secret_finding(f"it holds {form}", path)


def _secret_finding(text: str, path: str) -> ImageFinding:
    """A finding for a secret: it names the kind, never the value."""
    return _finding(
        severity=Severity.ERROR,
        path=path,
        text=text,
        why="everyone who can pull the image can read it, even if a later layer removes it",
        hint="revoke it, and build with `RUN --mount=type=secret`",
    )
