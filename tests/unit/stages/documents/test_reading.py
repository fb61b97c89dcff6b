"""The packages of an image, noted while somebody else walks through it."""

from __future__ import annotations

import pytest

from pipeline.model import Licence
from pipeline.model.errors import ImageError
from pipeline.stages.documents import Reading, reading, with_wheels
from tests.builders import lock, pin
from tests.crafted import a, image, link, read, tar
from tests.unit.stages.documents.bills import (
    OS_RELEASE,
    SITE,
    STATUS,
    TORCH,
    WHEEL,
    bill,
    bill_of,
    metadata,
)

GIVEN = (OS_RELEASE, STATUS, metadata("Torch", "2.13.0", "License: MIT\n"), a("etc/x", b"y"))


def test_whoever_walks_gets_what_was_asked_for_and_nothing_else() -> None:
    """With or without the reading between: a certificate of an image stays what it is."""
    for wants in (lambda _: True, lambda _: False, lambda node: node.path == "/etc/os-release"):
        through = Reading(image(tar(*GIVEN)))
        assert read(through, wants) == read(image(tar(*GIVEN)), wants)
        assert len(through.bill("").packages) == 2


def test_a_distribution_has_name_version_licence_and_place() -> None:
    """Its description, which may hold anything, is not looked at."""
    found = next(one for one in bill_of(*GIVEN).packages if one.kind == "python")
    assert (found.name, found.version) == ("torch", "2.13.0")
    assert found.licence == Licence("MIT", is_expression=True)
    assert found.found_in == (f"/{SITE}/Torch-2.13.0.dist-info",)


def test_the_system_is_what_os_release_says() -> None:
    assert bill_of(*GIVEN).system == ("debian", "12")
    assert bill_of(STATUS).system == ("", "")


def test_one_package_in_two_places_is_one() -> None:
    (found,) = bill_of(
        metadata("six", "1.0"), metadata("six", "1.0", site=f"{SITE}/setuptools/_vendor")
    ).packages
    assert len(found.found_in) == 2


def test_what_a_later_layer_replaces_is_not_there() -> None:
    """A package whose METADATA became something else is not installed any more; within a layer too."""
    path = metadata("six", "1.0").path
    for layers in (
        (tar(metadata("six", "1.0")), tar(a(path, b"no fields"))),
        (tar(metadata("six", "1.0"), link(path, "elsewhere")),),
    ):
        files = Reading(image(*layers))
        files.read()
        assert files.bill("").packages == ()


def test_an_egg_is_a_distribution_too() -> None:
    """As Debian installs them: a folder, or one file."""
    text = b"Metadata-Version: 1.0\nName: python-apt\nVersion: 2.6.0\n"
    for path in ("python_apt-2.6.0.egg-info", "python_apt-2.6.0.egg-info/PKG-INFO"):
        (found,) = bill_of(a(f"usr/lib/python3/dist-packages/{path}", text)).packages
        assert found.found_in == ("/usr/lib/python3/dist-packages/python_apt-2.6.0.egg-info",)


def test_what_is_there_and_not_read_is_said() -> None:
    """A bill without the half of an image must not look like a whole one."""
    found = bill_of(a("var/lib/rpm/rpmdb.sqlite"), a(f"{SITE}/a-1.dist-info/METADATA", b"Name: \x1b[31m\n"))
    assert found.unread == (
        f"/{SITE}/a-1.dist-info/METADATA names no package and no version",
        "RPM's packages are there and not read",
    )


def test_an_image_of_endless_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_PACKAGES", 1)
    with pytest.raises(ImageError, match="names more than 1 packages"):
        bill_of(metadata("a", "1"), metadata("b", "1"))


def test_a_distribution_gets_its_wheel_by_name_and_version() -> None:
    """One that was installed over it has none: its hash would be another's."""
    unknown = bill(*(package for package in bill_of(metadata("torch", "2.13.0+cu130")).packages))
    assert with_wheels(unknown, lock(WHEEL)).packages[0].wheel == TORCH.wheel
    assert with_wheels(unknown, lock(pin("torch", "2.12.0"))).packages[0].wheel is None
    dated = bill(*bill_of(metadata("pytz", "2026.02")).packages)  # as some write it; a lock has 2026.2
    assert with_wheels(dated, lock(pin("pytz", "2026.2"))).packages[0].wheel
