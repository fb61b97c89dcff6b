"""Hooks: what Python runs when it starts is found, whoever brings it, unless it is known byte by byte."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.image_files.nodes import Node
from pipeline.model import Expectations, Waiver
from pipeline.stages.audit import start_files
from pipeline.stages.audit.inventory import Claim, StartFile
from tests.unit.stages.audit.audited_image import SITE, Image
from tests.unit.stages.audit.made_root import Root
from tests.unit.stages.audit.sabotage import ERROR, WARNING, Case, add_case, assert_only_its_rule_finds

if TYPE_CHECKING:
    from pathlib import Path

CASES: list[Case] = []
breaks = partial(add_case, CASES)

STOLEN = "import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', 'steal()'])\n"
SETUPTOOLS = (
    "import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; "
    "enabled and __import__('_distutils_hack').add_shim(); \n"
)
CUTLASS = (
    "import sys, os, nvidia_cutlass_dsl; "
    "sys.path.insert(0, os.path.join(nvidia_cutlass_dsl.__path__[0], 'dsl_packages'))"
)
NAMESPACE = (
    "import sys, types, os;has_mfs = sys.version_info > (3, 5);"
    "p = os.path.join(sys._getframe(1).f_locals['sitedir'], *('NAME',));"
    "importlib = has_mfs and __import__('importlib.util');has_mfs and __import__('importlib.machinery');"
    "m = has_mfs and sys.modules.setdefault('NAME', importlib.util.module_from_spec("
    "importlib.machinery.PathFinder.find_spec('NAME', [os.path.dirname(p)])));"
    "m = m or sys.modules.setdefault('NAME', types.ModuleType('NAME'));"
    "mp = (m or []) and m.__dict__.setdefault('__path__',[]);(p not in mp) and mp.append(p)\n"
)
EXPECTED = Expectations(pins=())
"""As of a cell whose lock is empty: what is installed besides is another rule's."""


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = Root(tmp_path)
    root.install("torch", "2.13.0", {"torch/__init__.py": "__version__ = '2.13.0'\n"})
    return root


def hooks(root: Root, wanted: Expectations | None = EXPECTED) -> list[tuple[str, str, str]]:
    """What is found of hooks: how severe, of which file, and in which words."""
    found = [one for one in root.judged(wanted).findings if one.rule == "hooks"]
    return [(one.severity, one.path.rpartition("/")[2], one.text) for one in found]


# -- of a good image with a hook added --------------------------------------------------------------


def with_hook(image: Image, name: str, file: StartFile | None, owner: str = "triton-3.7.1") -> None:
    image.file(f"{SITE}/{name}")
    image.claims[f"{SITE}/{name}"] = (Claim(f"{SITE}/{owner}.dist-info", holds=True),)
    if file:
        image.start_files[f"{SITE}/{name}"] = file


@breaks("hooks", ERROR, "this file of triton, which runs code: import os; os.system('curl')")
def a_path_file_runs_code(image: Image) -> None:
    with_hook(image, "triton_init.pth", StartFile("import os; os.system('curl')", "0" * 64))


@breaks("hooks", ERROR, "this file of triton, which cannot be read here")
def a_start_module_is_compiled(image: Image) -> None:
    with_hook(image, "sitecustomize.cpython-311-x86_64-linux-gnu.so", None)


@breaks("hooks", ERROR, "which runs code: import os; var")
def a_known_hook_is_anothers(image: Image) -> None:
    form = start_files.form_of(SETUPTOOLS.encode())
    with_hook(image, "distutils-precedence.pth", StartFile("import os; var", form))


@breaks("hooks", WARNING, "which runs code")
def a_strangers_image_runs_code_at_start(image: Image) -> None:
    image.wanted = replace(image.wanted, pins=None)
    with_hook(image, "triton_init.pth", StartFile("import os", "0" * 64))


@breaks("hooks", ERROR, "cannot be read here")
def a_package_puts_a_start_module_beside_the_standard_library(image: Image) -> None:
    path = "/usr/local/lib/python3.11/sitecustomize.py"
    image.file(path)
    image.claims[path] = (Claim(f"{SITE}/triton-3.7.1.dist-info", holds=True),)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spoil.__name__)
def test_a_hook_is_found_by_its_rule_and_by_no_other(case: Case) -> None:
    assert_only_its_rule_finds(case)


def test_an_exception_of_the_matrix_waives_it() -> None:
    image = Image()
    a_path_file_runs_code(image)
    image.waivers = (Waiver("hooks", "*/triton_init.pth", "read", date(2027, 1, 1)),)
    certificate = image.judged()
    assert [one.finding.rule for one in certificate.waived] == ["hooks"]
    assert "hooks" not in {one.rule for one in certificate.findings}


# -- as files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("litellm_init.pth", STOLEN),
        ("paths.pth", f"torch\n\n# a comment\n{STOLEN}"),
        ("tabs.pth", "import\tos; os.system('x')\n"),
        ("mac.pth", f"torch\r{STOLEN}"),
        ("marked.pth", f"\ufeff{STOLEN}"),
        ("long.pth", f"{'#' * 1_100_000}\n{STOLEN}"),
        ("sitecustomize.py", "\n# words\nimport os\n"),
        ("usercustomize.py", "steal()\n"),
        ("sitecustomize/__init__.py", "steal()\n"),
        ("distutils-precedence.pth", f"{SETUPTOOLS}{STOLEN}"),
        ("distutils-precedence.pth", SETUPTOOLS.replace("_distutils_hack", "another")),
        ("zope.event-5.0-nspkg.pth", NAMESPACE.replace("NAME", "zope") + STOLEN),
        ("zope.event-5.0-nspkg.pth", NAMESPACE.replace("NAME", "zope", 1).replace("NAME", "os")),
    ],
)
def test_code_at_start_that_nobody_knows_is_an_error(root: Root, name: str, text: str) -> None:
    """In every way of writing that Python reads; and a known one with anything more, or other."""
    owner = "setuptools" if "distutils" in name else "litellm"
    root.install(owner, "1.82.8", {name: text})
    ((severity, file, words),) = hooks(root)
    assert (severity, file) == ("error", name.rpartition("/")[2])
    assert f"of {owner}, which runs code" in words


def test_without_a_lock_it_is_a_warning(root: Root) -> None:
    root.install("litellm", "1.82.8", {"litellm_init.pth": STOLEN})
    assert [severity for severity, *_ in hooks(root, None)] == ["warning"]


def test_what_no_package_claims_is_found_too(root: Root) -> None:
    """A step of a recipe may have put it there, or a thief who left the RECORD alone."""
    (root.site / "odd.pth").write_text(STOLEN)
    ((_, _, words),) = hooks(root)
    assert "of no package" in words


@pytest.mark.parametrize(
    ("owner", "name", "text"),
    [
        ("setuptools", "distutils-precedence.pth", SETUPTOOLS),
        ("nvidia-cutlass-dsl", "nvidia_cutlass_dsl_packages.pth", CUTLASS),
        ("zope-event", "zope.event-5.0-py3.11-nspkg.pth", NAMESPACE.replace("NAME", "zope")),
        ("mine", "_virtualenv.pth", "import _virtualenv"),
        ("mine", "mine-1.0-nspkg.pth", NAMESPACE.replace("NAME", "company")),
        ("anyone", "paths.pth", "torch\n# import os\n import os\nimportant\n"),
        ("anyone", "sitecustomize.py", "# nothing\n\n"),
        ("anyone", "torch/sitecustomize.py", "steal()\n"),
        ("anyone", "torch/plugin.pth", STOLEN),
        ("anyone", "my_sitecustomize.py", "steal()\n"),
    ],
)
def test_what_is_known_or_runs_nothing_is_no_finding(root: Root, owner: str, name: str, text: str) -> None:
    """The first two are all that the wheels in ``locks/`` bring."""
    root.install(owner, "1.0", {name: text})
    assert hooks(root) == []


def test_a_link_to_code_elsewhere_is_found(root: Root) -> None:
    """Python follows it; what it leads to is not read."""
    (root.folder / "opt/code.txt").write_text(STOLEN)
    (root.site / "odd.pth").symlink_to("/opt/code.txt")
    (root.site / "dangling.pth").symlink_to("/opt/nothing")
    ((severity, file, words),) = hooks(root)
    assert (severity, file) == ("error", "odd.pth")
    assert "cannot be read here" in words


def test_the_distributions_own_start_module_is_no_packages(root: Root) -> None:
    """Debian's lies beside the standard library, and asks for a program that reports crashes."""
    folder = root.folder / "usr/lib/python3.11"
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text("import apport_python_hook\n")
    assert hooks(root) == []


def test_a_node_that_is_no_file_runs_nothing() -> None:
    image = Image()
    image.put(Node(f"{SITE}/odd.pth", "directory", 0o755, 0, 0, 0, 0))
    assert "hooks" not in {one.rule for one in image.judged().findings}
