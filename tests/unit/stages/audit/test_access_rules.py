"""Sabotage of who may load what: the image's user, any user of group 0, and nobody in particular."""

from __future__ import annotations

from functools import partial

import pytest

from pipeline.adapters.image_files.nodes import Node
from pipeline.formats.image_config import ImageConfig
from pipeline.model import ImageFinding, Severity
from tests.unit.stages.audit.audited_image import LIB, SITE, Image, library
from tests.unit.stages.audit.sabotage import ERROR, NOTE, Case, add_case, assert_only_its_rule_finds

CASES: list[Case] = []
breaks = partial(add_case, CASES)

PYTHON = "/root/.local/share/uv/python/cpython-3.11-linux-x86_64-gnu"
INTERPRETER = "/lib64/ld-linux-x86-64.so.2"


def link(image: Image, path: str, target: str) -> None:
    image.put(Node(path, "link", 0o777, 0, 0, 0, 0, target))


def launcher(image: Image) -> None:
    """Start a program whose libpython lies in root's home, as `uv python install` puts it."""
    image.folder("/root", mode=0o700)
    image.add(library(f"{PYTHON}/lib/libpython3.11.so.1.0", "libc.so.6"))
    needs = ("libpython3.11.so.1.0", "libc.so.6")
    path = "/usr/local/bin/launcher"
    image.add(library(path, *needs, soname="", interpreter=INTERPRETER, runpath=(f"{PYTHON}/lib",)))
    image.entrypoint = (path,)


@breaks("config", ERROR, f"user 1000:0 cannot get to {PYTHON}/lib/libpython3.11.so.1.0, which")
def a_program_needs_a_library_in_roots_home(image: Image) -> None:
    """https://github.com/huggingface/text-generation-inference/issues/3082."""
    launcher(image)


@breaks("config", NOTE, f"only root gets to {PYTHON}/lib/libpython3.11.so.1.0, which")
def such_a_program_is_started_by_root(image: Image) -> None:
    launcher(image)
    image.user = ""


@breaks("config", ERROR, "user 1000:0 cannot get to Python through it")
def an_environments_python_is_a_link_into_roots_home(image: Image) -> None:
    image.folder("/root", mode=0o700)
    program = image.objects["/usr/bin/python3.11"]
    image.add(library(f"{PYTHON}/bin/python3.11", *program.needs, soname="", interpreter=INTERPRETER))
    image.change(f"{PYTHON}/bin/python3.11", defined=program.defined)
    link(image, "/opt/venv/bin/python", f"{PYTHON}/bin/python3.11")


@breaks("config", ERROR, "user 1000:0 cannot get to Python through it")
def a_python_is_reached_through_a_folder_that_the_user_may_not_enter(image: Image) -> None:
    """The real path is open, the link's is not."""
    image.folder("/home/builder", mode=0o700)
    link(image, "/home/builder/python3.11", "/usr/bin/python3.11")
    link(image, "/opt/venv/bin/python", "/home/builder/python3.11")


@breaks(
    "config",
    ERROR,
    "user 1000:0 cannot get to /root/miniconda3/bin/python, which starts /usr/local/bin/serve,",
)
def a_script_is_started_with_roots_miniconda(image: Image) -> None:
    image.folder("/root", mode=0o700)
    image.file("/root/miniconda3/bin/python", mode=0o755)
    image.interpreters["/usr/local/bin/serve"] = "/root/miniconda3/bin/python"


@breaks("config", ERROR, "a script for /opt/gone/bin/python, which is not there")
def a_script_is_started_with_a_python_that_was_moved(image: Image) -> None:
    image.interpreters["/usr/local/bin/serve"] = "/opt/gone/bin/python"


@breaks("config", ERROR, "user 1000:0 cannot get to vllm through it")
def a_starter_is_given_a_program_that_the_user_may_not_run(image: Image) -> None:
    image.folder("/root", mode=0o700)
    image.file("/root/bin/vllm", mode=0o755)
    image.env["PATH"] += ":/root/bin"
    image.entrypoint = ("tini", "--", "vllm", "serve")


@breaks("config", ERROR, "cannot get to /root/bin/vllm through it")
def a_shell_is_given_a_program_that_the_user_may_not_run(image: Image) -> None:
    image.folder("/root", mode=0o700)
    image.file("/root/bin/vllm", mode=0o755)
    image.file("/usr/bin/sh", mode=0o755)
    image.entrypoint = ("/usr/bin/sh", "-c", "exec /root/bin/vllm serve")


@breaks("config", ERROR, "libodd.so, which")
def a_module_needs_a_library_that_only_root_may_read(image: Image) -> None:
    image.file(f"{LIB}/libodd.so", mode=0o600)
    image.add(library(f"{LIB}/libodd.so"))
    image.change(f"{SITE}/vllm/_moe_C.abi3.so", needs=("libtorch_cuda.so", "libc10.so", "libodd.so"))


@breaks("config", NOTE, "only user 1000:0 gets to Python's packages through it")
def the_packages_are_the_users_alone(image: Image) -> None:
    image.folder("/opt/venv/lib", mode=0o700, uid=1000)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spoil.__name__)
def test_sabotage_is_found_by_its_rule_and_by_no_other(case: Case) -> None:
    assert_only_its_rule_finds(case)


def of_access(image: Image) -> list[ImageFinding]:
    return [one for one in image.judged().findings if "gets to" in one.text or "cannot get to" in one.text]


def test_what_lies_behind_one_folder_is_one_finding() -> None:
    image = Image()
    image.folder("/opt/venv", mode=0o700)
    assert [one.path for one in of_access(image)] == ["/opt/venv"]


def test_a_python_that_everybody_reaches_is_no_finding() -> None:
    image = Image()
    launcher(image)
    image.folder("/root", mode=0o755)
    assert not of_access(image)


def test_of_an_unpacked_root_it_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody says which user it is for."""
    image = Image()
    launcher(image)
    link(image, "/opt/venv/bin/python", f"{PYTHON}/bin/python3.11")
    image.add(library(f"{PYTHON}/bin/python3.11", "libpython3.11.so.1.0", soname="", interpreter=INTERPRETER))
    monkeypatch.setattr("tests.unit.stages.audit.audited_image.ImageConfig", lambda **_: ImageConfig())
    image.stranger()
    assert {(one.path, one.severity) for one in of_access(image)} == {("/root", Severity.NOTE)}
