"""Executable stacks: what asks for one is loaded by an older glibc, and refused by 2.41 and newer.

https://github.com/OpenNMT/CTranslate2/issues/1849, seen to fail on Debian 13 with the wheel of 4.5.0.
"""

from __future__ import annotations

from functools import partial

import pytest

from pipeline.model import ImageFinding, Severity
from tests.unit.stages.audit.audited_image import LIB, SITE, TORCH, Image, library, module
from tests.unit.stages.audit.sabotage import ERROR, NOTE, WARNING, Case, add_case, assert_only_its_rule_finds

CASES: list[Case] = []
breaks = partial(add_case, CASES)

BEFORE, SINCE = "GLIBC_2.36", "GLIBC_2.41"


def system(image: Image, newest: str) -> None:
    """Let the image have a C library whose newest symbols are of this version."""
    image.change(f"{LIB}/libc.so.6", version_defines=("GLIBC_2.2.5", "GLIBC_2.34", newest, "GLIBC_PRIVATE"))


def ctranslate2(image: Image) -> None:
    """Install a module whose grafted library asks for an executable stack."""
    libs = f"{SITE}/ctranslate2.libs"
    image.add(library(f"{libs}/libctranslate2-bc15bf3f.so.4.5.0", "libc.so.6", executable_stack=True))
    path = f"{SITE}/ctranslate2/_ext.cpython-311-x86_64-linux-gnu.so"
    image.add(module(path, "libctranslate2-bc15bf3f.so.4.5.0", rpath=("$ORIGIN/../ctranslate2.libs",)))


@breaks("closure", ERROR, "which this image's glibc 2.41 refuses (needed when")
def a_module_needs_a_library_with_an_executable_stack(image: Image) -> None:
    system(image, SINCE)
    ctranslate2(image)


@breaks("closure", NOTE, "it asks for an executable stack")
def an_older_glibc_grants_it(image: Image) -> None:
    system(image, BEFORE)
    ctranslate2(image)


@breaks("closure", WARNING, "which this image's glibc 2.42 refuses")
def a_package_may_open_one(image: Image) -> None:
    system(image, "GLIBC_2.42")
    image.add(library(f"{SITE}/odd/libodd.so", "libc.so.6", executable_stack=True))


@breaks("closure", ERROR, "which this image's glibc 2.41 refuses")
def pytorch_itself_asks_for_one(image: Image) -> None:
    """https://github.com/conda-forge/pytorch-cpu-feedstock/issues/350."""
    system(image, SINCE)
    image.change(f"{TORCH}/libtorch_cuda.so", executable_stack=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spoil.__name__)
def test_sabotage_is_found_by_its_rule_and_by_no_other(case: Case) -> None:
    assert_only_its_rule_finds(case)


def about_stacks(image: Image) -> list[ImageFinding]:
    return [one for one in image.judged().findings if "executable stack" in one.text]


@pytest.mark.parametrize(
    ("tunables", "severities"),
    [
        ("glibc.rtld.execstack=2", []),
        ("glibc.malloc.check=1:glibc.rtld.execstack=2", []),
        ("glibc.rtld.execstack=1", [Severity.ERROR]),
    ],
)
def test_a_tunable_may_allow_it(tunables: str, severities: list[Severity]) -> None:
    image = Image()
    system(image, SINCE)
    ctranslate2(image)
    image.env["GLIBC_TUNABLES"] = tunables
    assert [one.severity for one in about_stacks(image)] == severities


def test_what_a_program_links_is_given_one_at_its_start() -> None:
    image = Image()
    system(image, SINCE)
    image.add(library("/usr/lib/libodd.so", executable_stack=True))
    image.change("/usr/bin/tini", needs=("libodd.so",))
    assert not about_stacks(image)


def test_a_python_with_an_executable_stack_opens_everything() -> None:
    image = Image()
    system(image, SINCE)
    ctranslate2(image)
    image.change("/usr/bin/python3.11", executable_stack=True)
    assert not about_stacks(image)


def test_one_library_is_one_finding() -> None:
    image = Image()
    system(image, SINCE)
    image.change(f"{TORCH}/libc10.so", executable_stack=True)
    assert [one.path for one in about_stacks(image)] == [f"{TORCH}/libc10.so"]


def test_an_image_without_glibc_is_not_judged() -> None:
    image = Image()
    del image.objects[f"{LIB}/libc.so.6"]
    ctranslate2(image)
    assert not about_stacks(image)
