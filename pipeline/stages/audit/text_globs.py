"""The small text files that the rules read: the loader's configuration, users, files of credentials."""

from __future__ import annotations

from fnmatch import fnmatchcase

MAX_TEXT_BYTES = 1_000_000
"""How large a text may be, in bytes; these files are normally far smaller."""

_GLOBS = (
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d/*",
    "/etc/ld.so.preload",
    "/etc/os-release",
    "/usr/lib/os-release",
    "/etc/passwd",
    "/etc/pip.conf",
    "*/pyvenv.cfg",
    "/etc/ssh/ssh_host_*_key",
    "/etc/ssl/private/*",
    "*/.netrc",
    "*/.git-credentials",
    "*/.pypirc",
    "*/.npmrc",
    "*/.pip/pip.conf",
    "*/.config/pip/pip.conf",
    "*/pip.conf",
    "*/.config/uv/uv.toml",
    "*/.docker/config.json",
    "*/.aws/credentials",
    "*/.ssh/id_*",
    "*/.cache/huggingface/token",
    "*/.cache/huggingface/stored_tokens",
    "*/.huggingface/token",
    "*/.kaggle/kaggle.json",
    "*/.config/gcloud/application_default_credentials.json",
    "*/.env",
    "*.pem",
    "*.key",
)
_EXCLUDED = (
    "*/lib/python3*",
    "*/node_modules/*",
    "*/site-packages/*",
    "*/dist-packages/*",
    "/usr/share/*",
    "/usr/lib/*",
    "/usr/local/share/*",
    "/etc/ssl/certs/*",
    "*.pub",
)
"""Places of certificates and of the keys of test suites, which are public."""


def is_text_needed(path: str) -> bool:
    """Whether a rule needs the text of the file at this absolute path."""
    excluded = path != "/usr/lib/os-release" and any(fnmatchcase(path, glob) for glob in _EXCLUDED)
    return not excluded and any(fnmatchcase(path, glob) for glob in _GLOBS)
