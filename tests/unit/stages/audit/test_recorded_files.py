"""What a RECORD lists and is not there, or is not as it was: how much that matters depends on the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.model import Severity
from tests.unit.stages.audit.made_root import LONG, PYTHON, Root

if TYPE_CHECKING:
    from pathlib import Path

ERROR, WARNING, NOTE = Severity

PACKAGE = {
    "a/packages/b/__init__.py": LONG,
    "a/__init__.py": LONG,
    "a/more.py": LONG,
    "a/_C.so": LONG,
    "a/data.pem": "x",
    "a/include/a.h": "x",
    "a/tests/test_a.py": LONG,
    "a.pth": "a/packages\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(tmp_path)
    made.install("a", "1.0", PACKAGE)
    return made


def test_a_package_that_is_as_it_was_installed_is_nothing_to_tell(root: Root) -> None:
    assert root.findings() == []


def test_a_lost_pth_file_is_an_error(root: Root) -> None:
    """https://github.com/sgl-project/sglang/pull/21182: it alone put ``cutlass`` on the path."""
    root.remove("a.pth")
    (finding,) = root.findings()
    assert (finding.severity, finding.text) == (ERROR, "a.pth of a 1.0 is gone")
    assert "cannot be imported" in finding.why


def test_a_folder_that_a_pth_file_names_has_to_be_there(root: Root) -> None:
    """The other half of the same fault."""
    root.remove("a/packages/b/__init__.py")
    (root.site / "a/packages/b").rmdir()
    (root.site / "a/packages").rmdir()
    texts = [one.text for one in root.findings() if one.severity is ERROR]
    assert texts == [
        f"it puts /opt/venv/lib/{PYTHON}/site-packages/a/packages on Python's path, which is not there"
    ]


@pytest.mark.parametrize(
    ("line", "severities"),
    [
        ("/src/mine", [WARNING]),
        ("/opt/venv", []),
        ("import os; os.nothing", []),
        ("# /src/mine", []),
        ("", []),
        ("../../../..", []),
    ],
)
def test_an_editable_package_whose_sources_are_elsewhere_is_a_warning(
    line: str, severities: list[Severity], root: Root
) -> None:
    """They are on the machine that built the image; lines of code and of comment name no folder."""
    (root.site / "__editable__.mine-1.0.pth").write_text(f"{line}\n")
    assert root.severities("contents") == severities


def test_a_pth_file_that_puts_nothing_on_the_path_is_a_warning(root: Root) -> None:
    root.install("setuptools", "80.0", {"distutils-precedence.pth": "import os", "setuptools/x.py": LONG})
    root.remove("distutils-precedence.pth")
    assert root.severities() == [NOTE]


@pytest.mark.parametrize(
    ("gone", "severity"),
    [
        ("a/__init__.py", ERROR),
        ("a/more.py", WARNING),
        ("a/_C.so", WARNING),
        ("a/tests/test_a.py", NOTE),
        ("a/include/a.h", NOTE),
        ("a/data.pem", NOTE),
    ],
)
def test_what_is_gone_matters_as_much_as_what_imports_it(gone: str, severity: Severity, root: Root) -> None:
    root.remove(gone)
    (finding,) = root.findings()
    assert finding.severity is severity
    assert gone in finding.text or gone in finding.path


@pytest.mark.parametrize(
    ("changed", "severity"),
    [("a/more.py", WARNING), ("a/data.pem", NOTE)],
)
def test_changed_code_is_a_warning_and_replaced_data_a_note(
    changed: str, severity: Severity, root: Root
) -> None:
    """Such as the list of certificate authorities of ``certifi``, where a company has its own."""
    (root.site / changed).write_text("something else")
    (finding,) = root.findings()
    assert (finding.severity, changed in finding.text) == (severity, True)


def test_a_module_of_equal_size_and_other_content_is_seen(root: Root) -> None:
    (root.site / "a/more.py").write_text(LONG.replace("module", "mistake"[:6]))
    assert root.severities() == [WARNING]


def test_a_package_of_which_only_the_metadata_is_left_cannot_be_imported(root: Root) -> None:
    for path in PACKAGE:
        root.remove(path)
    (finding,) = root.findings()
    assert (finding.severity, finding.text) == (ERROR, "a 1.0: none of its code is there, only its metadata")


def test_an_image_does_not_need_the_installers_that_it_was_made_with(root: Root) -> None:
    """Many images remove pip's folder and forget its metadata."""
    root.install("pip", "26.0", {"pip/__init__.py": LONG})
    root.remove("pip/__init__.py")
    assert root.severities() == [NOTE]


def test_what_a_known_server_does_not_import_at_its_start_is_a_warning(root: Root) -> None:
    root.install("torch", "2.13.0", {"torch/__init__.py": LONG})
    root.install("vllm", "0.32.0", {"vllm/__init__.py": LONG})
    root.remove("a/__init__.py")
    assert WARNING in root.severities("contents")
    assert ERROR not in root.severities("contents")
