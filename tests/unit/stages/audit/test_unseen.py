"""Packages that no Python of the image imports, and the folders that each Python does import from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.image_files.nodes import Node
from pipeline.stages.audit.inventory import Distribution
from tests.unit.stages.audit.audited_image import Image, library

if TYPE_CHECKING:
    from pipeline.model import ImageFinding

INTERPRETER = "/lib64/ld-linux-x86-64.so.2"


def unseen(image: Image) -> list[ImageFinding]:
    return [one for one in image.judged().findings if "no Python of the image imports" in one.text]


def with_package(site: str, *, debian: bool = True) -> Image:
    """A stranger's image with one more package, in this folder."""
    image = Image()
    image.stranger()
    image.distributions.append(Distribution("requests", "2.32.0", "pip", f"{site}/requests-2.32.0.dist-info"))
    if debian:
        image.file("/etc/debian_version")
    return image


@pytest.mark.parametrize(
    "site",
    [
        "/opt/venv/lib/python3.11/site-packages",
        "/usr/lib/python3/dist-packages",
        "/usr/local/lib/python3.11/dist-packages",
        "/root/.local/lib/python3.11/site-packages",
    ],
)
def test_a_folder_that_debians_python_imports_from_is_no_finding(site: str) -> None:
    assert not unseen(with_package(site))


@pytest.mark.parametrize(
    "site",
    [
        "/usr/local/lib/python3.11/site-packages",
        "/usr/lib/python3.11/site-packages",
        "/opt/venv/lib/python3.12/site-packages",
    ],
)
def test_a_folder_that_no_python_imports_from_is_a_warning(site: str) -> None:
    """As COPY --from=builder leaves it, where the builder's Python is another."""
    (finding,) = unseen(with_package(site))
    assert (finding.path, finding.severity) == (site, "warning")


def test_a_python_of_ones_own_in_usr_local_imports_from_its_site_packages() -> None:
    image = with_package("/usr/local/lib/python3.11/site-packages")
    image.add(library("/usr/local/bin/python3.11", soname="", interpreter=INTERPRETER))
    assert not unseen(image)


def test_elsewhere_the_systems_python_imports_from_usr_local() -> None:
    """Fedora's and Red Hat's."""
    assert not unseen(with_package("/usr/local/lib/python3.11/site-packages", debian=False))


def test_an_environment_whose_python_was_left_behind_is_a_warning() -> None:
    image = with_package("/app/venv/lib/python3.12/site-packages")
    image.put(Node("/app/venv/bin/python", "link", 0o777, 0, 0, 0, 0, "/usr/local/bin/python3.12"))
    assert [one.path for one in unseen(image)] == ["/app/venv/lib/python3.12/site-packages"]


def test_a_folder_that_is_no_pythons_may_be_named_when_a_program_starts() -> None:
    """As Nix and Spack do it."""
    assert not unseen(with_package("/nix/store/0a1-python3.12-requests/lib/python3.12/site-packages"))


def test_the_python_of_red_hats_own_tools_counts() -> None:
    image = with_package("/usr/lib/python3.6/site-packages", debian=False)
    image.file("/usr/libexec/platform-python3.6", mode=0o755)
    assert not unseen(image)


def test_pythonpath_may_name_the_folder() -> None:
    site = "/usr/local/lib/python3.11/site-packages"
    image = with_package(site)
    image.env["PYTHONPATH"] = f"/app:{site}/"
    assert not unseen(image)


def test_a_program_with_a_python_inside_may_look_anywhere() -> None:
    image = with_package("/opt/app/lib/python3.12/site-packages")
    image.objects["/usr/bin/tini"] = replace(image.objects["/usr/bin/tini"], needs=("libpython3.12.so.1.0",))
    assert not unseen(image)
