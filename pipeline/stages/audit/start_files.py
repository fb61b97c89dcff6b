"""What Python runs when it starts, before any program: lines of code in ``.pth`` files, and two modules.

https://docs.python.org/3/library/site.html: a line of a ``.pth`` file in a folder of packages is executed if
it begins with ``import`` and a blank, and so are the modules ``sitecustomize`` and ``usercustomize`` wherever
the path has them. Python follows links to both. A hook that is known may import a module of its package:
that is as good as the package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from posixpath import basename, dirname

from pipeline.stages.audit.inventory import StartFile
from pipeline.stages.audit.python import site_of

_MODULE = re.compile(r"(?P<folder>.*)/(?:site|user)customize(?:/__init__)?\.(?:pyc?|(?:[^/]*\.)?so)")
_STANDARD = re.compile(r".*/lib(?:64)?/python3(?:\.[0-9]+)?")
_LINE_OF_PATHS = re.compile(rb"^(?:\xef\xbb\xbf)?(import[ \t].*)", re.MULTILINE)
_LINE_OF_MODULE = re.compile(rb"^\s*([^\s#].*)", re.MULTILINE)
_MAX_SHOWN = 160

_NAMESPACE = re.compile(rb"\*\('([A-Za-z_][A-Za-z0-9_]*)',\)")
"""How setuptools' hook for a namespace names it; it wrote one for each package of the namespace."""


@dataclass(frozen=True, slots=True)
class KnownHook:
    """Code that a package is known to run at each start, by file and by ``form_of`` its bytes.

    Whose it is, as a normalised name, or "" where many have the same; and the wheel in which it was read.
    """

    package: str
    file: str
    form: str
    source: str


KNOWN = (
    KnownHook(
        "setuptools",
        "distutils-precedence.pth",
        "2638ce9e2500e572a5e0de7faed6661eb569d1b696fcba07b0dd223da5f5d224",
        "setuptools 60.0.0 to 84.2.1",
    ),
    KnownHook(
        "setuptools",
        "distutils-precedence.pth",
        "7ea7ffef3fe2a117ee12c68ed6553617f0d7fd2f0590257c25c484959a3b7373",
        "setuptools 50.3.2 and 51.0.0",
    ),
    KnownHook(
        "nvidia-cutlass-dsl",
        "nvidia_cutlass_dsl_packages.pth",
        "cc710b99ddb3d76361a70461461d274212a979d00c381d821fce5bb3ad9cf246",
        "nvidia-cutlass-dsl 4.6.0 and 4.8.0",
    ),
    KnownHook(
        "coverage",
        "a1_coverage.pth",
        "ef2ed06d19867ec669c09a804060666a9cd5e383af0a9d11aa2de79b77d448e8",
        "coverage 7.17.5",
    ),
    KnownHook(
        "pytest-cov",
        "pytest-cov.pth",
        "f47446a60fdf5905e84e7d7c892baf92f8d5a3226d0da1599b9c014eab6c7ddb",
        "pytest-cov 4.1.0 and 6.2.1",
    ),
    KnownHook(
        "coloredlogs",
        "coloredlogs.pth",
        "dda83a855986efa5cd87f0248b0199c0086eb0e8e7fece7d6741959c5ce39536",
        "coloredlogs 15.0.1",
    ),
    KnownHook(
        "coloredlogs",
        "coloredlogs.pth",
        "9fd084989744cfaf6297ecf3db256e5d9b3520803b5a001821e369585e26a350",
        "coloredlogs 9.3.1",
    ),
    KnownHook(
        "",
        "_virtualenv.pth",
        "69ac3d8f27e679c81b94ab30b3b56e9cd138219b1ba94a1fa3606d5a76a1433d",
        "virtualenv 20.26.6; it is no package's own",
    ),
    KnownHook(
        "",
        "-nspkg.pth",
        "999f8b7d58685f9bb9efa85d320ee51f76117bdd94bdee17c025d931f70877d9",
        "zope.event 5.0, protobuf 3.20.3, matplotlib 3.7.5, ruamel.yaml 0.17.21, sphinxcontrib-jsmath 1.0.1",
    ),
)
"""Every hook of the wheels in ``locks/``, and some that images often have."""


def is_start_file(path: str) -> bool:
    """Whether Python runs what this file says when it starts, if its folder is one that it imports from."""
    if path.endswith(".pth"):
        return site_of(path) == dirname(path)
    module = _MODULE.fullmatch(path) if "customize" in path else None
    return module is not None and module["folder"] in {site_of(path), _standard(module["folder"])}


def is_systems(path: str) -> bool:
    """Whether it lies in the standard library's folder, where distributions have a ``sitecustomize`` too."""
    return site_of(path) is None


def _standard(folder: str) -> str | None:
    return folder if _STANDARD.fullmatch(folder) else None


def read(path: str, data: memoryview) -> StartFile:
    """The first line of code of such a file, if it has any, and the form of its bytes."""
    content = bytes(data)
    line = (_LINE_OF_PATHS if path.endswith(".pth") else _LINE_OF_MODULE).search(
        content.replace(b"\r", b"\n")
    )
    return StartFile(line[1][:_MAX_SHOWN].decode("utf-8", "replace") if line else "", form_of(content))


def form_of(content: bytes) -> str:
    """The SHA-256 of a content, in hex, without the name of the namespace in setuptools' hook for one."""
    if namespace := _NAMESPACE.search(content):
        content = content.replace(b"'%s'" % namespace[1], b"''").replace(b"\r\n", b"\n")
    return sha256(content).hexdigest()


def is_known(path: str, form: str, owners: set[str]) -> bool:
    """Whether it is a hook that its package, or no package at all, is known to have."""
    return any(
        known.form == form
        and basename(path).endswith(known.file)
        and (not known.package or owners <= {known.package})
        for known in KNOWN
    )
