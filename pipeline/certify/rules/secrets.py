"""Secrets in the environment, the history or files: whoever can pull the image has them.

Only forms that nothing else has are looked for, so that a finding is worth a rotated key. detect-secrets was
tried as a library: its last release is of May 2024, it knows neither Hugging Face's nor NVIDIA's tokens,
and its entropy and keyword detectors, the larger part of it, answer for hashes and public keys (``GPG_KEY``
of Python's official image, for one).
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from pipeline.nouns import ImageFinding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.certify.subject import Subject

_finding = partial(ImageFinding, rule="config")

_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{82})\b")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("a Hugging Face token", re.compile(r"\bhf_[A-Za-z]{34}\b")),
    ("an NVIDIA API key", re.compile(r"\bnvapi-[A-Za-z0-9_-]{64}")),
    ("an OpenAI key", re.compile(r"\bsk-[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}")),
    ("an Anthropic key", re.compile(r"\bsk-ant-[a-z]+[0-9]{2}-[A-Za-z0-9_-]{80,}")),
    ("a Google API key", re.compile(r"\bAIza[A-Za-z0-9_-]{35}\b")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20,}")),
    ("a PyPI token", re.compile(r"\bpypi-AgE[A-Za-z0-9_-]{50,}")),
    ("an npm token", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b|:_authToken=[^\s$]{8,}")),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z]{2,10} )?PRIVATE KEY-----")),
    (
        "a password in an address",
        re.compile(r"\b[a-z][a-z0-9+.-]{1,19}://[^\s/:@$<{*]+:[^\s/:@$<{*]{3,}@[a-z0-9]"),
    ),
)
"""What it is, and its form, as the issuers document it."""

_NETRC = re.compile(r"\bpassword\s+\S+")
_DOCKER = re.compile(r'"(?:auth|identitytoken)"\s*:\s*"[A-Za-z0-9+/=._-]{8,}"')
_BY_FILE = {".netrc": ("a password", _NETRC), "config.json": ("a registry's password", _DOCKER)}

_NAMES = re.compile(r"(?:PASSWORD|PASSWD|SECRET|TOKEN|API_KEY|ACCESS_KEY|SECRET_KEY)$")
_SHORTEST = 8
_HOSTS_OWN = ("/etc/ssh/ssh_host_", "/etc/ssl/private/ssl-cert-snakeoil.key")


def settings(subject: Subject) -> Iterator[ImageFinding]:
    """The environment and the history hold no secret."""
    for name, value in subject.inventory.config.env:
        if form := _form(value):
            yield _told(f"the environment variable {name} holds {form}", "")
        elif _NAMES.search(name) and len(value) >= _SHORTEST and not value.startswith(("/", "$")):
            yield _finding(
                severity=Severity.WARNING,
                what=f"the environment variable {name} is set, and named like a secret",
                why="whoever can pull the image can read it",
                remedy="give it to the container when it starts",
            )
    for number, text in enumerate(subject.inventory.config.history, start=1):
        if form := _form(text):
            yield _told(f"step {number} of the image's history holds {form}", "")


def files(subject: Subject) -> Iterator[ImageFinding]:
    """Files that keep credentials hold none."""
    for path, text in sorted(subject.inventory.texts.items()):
        form = _form(text)
        by_file = _BY_FILE.get(path.rpartition("/")[2])
        if form is None and by_file and by_file[1].search(text):
            form = by_file[0]
        if form and path.startswith(_HOSTS_OWN):
            yield _finding(
                severity=Severity.WARNING,
                path=path,
                what=f"it holds {form} that every container of this image shares",
                why="it was made when a package was installed; who has the image can pose as any of them",
                remedy="remove it, and make it when the container starts, if it is needed",
            )
        elif form:
            yield _told(f"it holds {form}", path)


def _form(text: str) -> str | None:
    return next((what for what, form in _FORMS if form.search(text)), None)


def _told(what: str, path: str) -> ImageFinding:
    """A secret by its kind: a finding does not spread what it found."""
    return _finding(
        severity=Severity.ERROR,
        path=path,
        what=what,
        why="whoever can pull the image has it, also where a later layer removes it",
        remedy="revoke it, and build with `RUN --mount=type=secret`",
    )
