"""Secrets: the forms that their issuers give them, and how variables and options that hold one are named.

Only forms that nothing else has are looked for, so that a finding is worth a rotated key. detect-secrets was
tried as a library: its last release is of May 2024, it knows neither Hugging Face's nor NVIDIA's tokens,
and its entropy and keyword detectors, the larger part of it, answer for hashes and public keys (``GPG_KEY``
of Python's official image, for one).
"""

from __future__ import annotations

import re

FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{82})\b")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("a Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{34,40}\b")),
    ("an NVIDIA API key", re.compile(r"\bnvapi-[A-Za-z0-9_-]{64}")),
    ("an OpenAI key", re.compile(r"\bsk-[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}")),
    ("an Anthropic key", re.compile(r"\bsk-ant-[a-z]+[0-9]{2}-[A-Za-z0-9_-]{80,}")),
    ("a Google API key", re.compile(r"\bAIza[A-Za-z0-9_-]{35}\b")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20,}")),
    ("a PyPI token", re.compile(r"\bpypi-AgE[A-Za-z0-9_-]{50,}")),
    ("an npm token", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b|:_authToken=[^\s$]{8,}")),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z]{2,10} )?PRIVATE KEY(?: BLOCK)?-----")),
    (
        "a password in an address",
        re.compile(r"\b[a-z][a-z0-9+.-]{1,19}://[^\s/:@$<{*]+:[^\s/:@$<{*]{3,}@[a-z0-9]"),
    ),
)
"""What it is, and its form, as the issuers document it."""

_WORDS = (
    r".*(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|(?:API|ACCESS|AUTH|PRIVATE)_?KEY).*",
    r"(?:.*_)?[A-Z0-9]*TOKEN[0-9]*(?:_.*)?",
    r"(?:.*_)?(?:API|ACCESS|AUTH)_TOKENS",
    r"KEY|.+_KEYS?[0-9]*(?:_.*)?",
    r"(?:.*_)?(?:DB|SQL|MYSQL|POSTGRES|PG|REDIS|SMTP|MAIL|PROXY|REGISTRY|LDAP|USER|ADMIN|ROOT)_?PASS",
    r".+_(?:PWD|PAT|JWT|DSN|CONNECTION_STRING)",
)
_HARMLESS = (
    r".*_(?:PATH|FILE|DIR|NAME|LEN|LENGTH|COUNT|LIMIT|SIZE|BUDGET|TYPE|IDS|TTL|TIMEOUT|EXPIRY)",
    r"(?:.*_)?(?:PAD|EOS|BOS|UNK|STOP|IMAGE|AUDIO|VIDEO|SPECIAL|MASK|PER|MAX|MIN|NEXT|IMPLICIT|AS)_TOKEN(?:_.*)?",
    r"(?:.*_)?KEY_(?:CACHE|VALUE|DTYPE|SCALES?|DIM|HEADS?|LAYOUT|NORM|BLOCK)(?:_.*)?",
    r"(?:.*_)?(?:PUBLIC|PRIMARY|FOREIGN|PARTITION|SORT|QUERY)_KEYS?(?:_.*)?",
)
NAMES = f"(?!(?:{'|'.join(_HARMLESS)})$)(?:{'|'.join(_WORDS)})"
"""Names of variables, in capitals, that hold a secret: by whole words, so that no KEYBOARD is meant; less
those that hold a path to one, a number of tokens, or a key that everybody may see."""

_NAMED = re.compile(NAMES)


def form_of(text: str) -> str | None:
    """What secret the text holds, by its form; None where none is known."""
    return next((what for what, form in FORMS if form.search(text)), None)


def is_name_of_one(name: str) -> bool:
    """Whether a variable, or an option such as ``--api-key``, is named like one that holds a secret."""
    return _NAMED.fullmatch(name.lstrip("-").replace("-", "_").upper()) is not None
