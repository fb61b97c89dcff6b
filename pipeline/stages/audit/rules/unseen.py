"""Unseen: packages lie where a Python of the image imports from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit.python import is_imported, site_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_MAX_NAMES = 3
_LIBPYTHON = re.compile(r"libpython3[0-9.]*\.so")


def packages(image: ImageModel) -> Iterator[ImageFinding]:
    """Every folder with packages is one of a Python that is there.

    A folder that was copied from another image keeps the version of the Python that it was filled by. A
    program with a Python inside (libpython) is free to look anywhere.
    """
    pythons = sorted({path for path in image.programs if re.search(r"/python3\.[0-9]+$", path)})
    if not pythons or any(_is_embedded(image, path) for path in image.programs):
        return
    python_path = [folder.rstrip("/") for folder in image.env.get("PYTHONPATH", "").split(":")]
    for site, environment in image.environments.items():
        names = sorted(one.name for one in image.distributions if site_of(one.path) == site)
        is_of_a_python = _is_pythons(image, environment.prefix)
        if names and is_of_a_python and not is_imported(environment, python_path, image.links):
            more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            yield ImageFinding(
                rule="contents",
                severity=Severity.WARNING,
                path=site,
                text=f"no Python of the image imports from it: {', '.join(names[:_MAX_NAMES])}{more}",
                why=f"of {', '.join(pythons)} none looks there: ModuleNotFoundError, unless sys.path is "
                "changed when the container starts",
                hint="install the packages with the Python that is there; or set PYTHONPATH, if that is of "
                "the same version",
            )


def _is_pythons(image: ImageModel, prefix: str) -> bool:
    """Whether a prefix is meant for a Python: a system's, or one with a python, if only a link to none.

    Nix, Spack and Bazel give each package a prefix, and name them all when a program starts.
    """
    pythons = (f"{prefix}/bin/{name}" for name in ("python", "python3"))
    venv = f"{prefix}/pyvenv.cfg"
    nodes = image.inventory.nodes
    return prefix in {"/usr", "/usr/local"} or venv in nodes or any(path in nodes for path in pythons)


def _is_embedded(image: ImageModel, path: str) -> bool:
    """Whether a program that is no Python links libpython."""
    name = path.rpartition("/")[2]
    needs = image.inventory.objects[path].needs
    return not name.startswith("python") and any(_LIBPYTHON.match(need) for need in needs)
