"""What the pages name is there: links, headings, folders, files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OF_A_USER = {"tests/images/", "tests/images/test_answers.py", "locks/model.sha256"}
"""Places of whoever uses this: they lie beside a matrix that names what the shipped one does not."""
FOLDERS = "pipeline|tests|docs|images|locks|benchmarks|.github|.ci"
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "tests").rglob("*.md")})
FILES = [
    str(path.relative_to(ROOT)) for folder in FOLDERS.split("|") for path in (ROOT / folder).rglob("*.*")
] + [path.name for path in ROOT.iterdir()]

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def links(page: Path) -> list[str]:
    """The targets of a page's links that lead to no other host."""
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    return [target for target in targets if "://" not in target]


def anchors(page: Path) -> set[str]:
    """The fragments under which a page's headings are reached, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether the file is there, and its heading where the link names one."""
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in anchors(target))


def named_paths(text: str) -> list[str]:
    """The paths of this repository that stand in backticks, less those with a placeholder."""
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text)
    return [name for name in named if name not in OF_A_USER]


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file, and to a heading of it."""
    assert [link for link in links(page) if not leads_somewhere(page, link)] == []


@pages
def test_every_path_that_is_named_exists(page: Path) -> None:
    """A move or a renaming is followed by the pages."""
    assert [name for name in named_paths(page.read_text("utf-8")) if not (ROOT / name).exists()] == []


@pages
def test_every_module_that_is_named_exists(page: Path) -> None:
    """Also one that is named by the end of its path, such as ``check_server.py``."""
    named = {*re.findall(r"`([\w./-]+\.py)`", page.read_text("utf-8"))} - OF_A_USER
    assert [name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in FILES)] == []


def test_a_link_and_a_path_that_lead_nowhere_are_noticed() -> None:
    """The two tests above can fail."""
    readme = ROOT / "README.md"
    assert leads_somewhere(readme, "docs/security.md#time")
    assert not leads_somewhere(readme, "docs/security.md#no-such-heading")
    assert not leads_somewhere(readme, "docs/no-such-page.md")
    assert named_paths("`pipeline/nowhere.py`, `tests/unit/` and `locks/<cell>.txt`") == [
        "pipeline/nowhere.py",
        "tests/unit/",
    ]


def test_the_package_names_the_licence_that_lies_at_the_top() -> None:
    """By its SPDX name, and as the text itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "[yyyy]" not in text


def test_the_changelog_knows_the_version_of_the_package() -> None:
    """What is released, and what will be, is written down under its number."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] in (ROOT / "CHANGELOG.md").read_text("utf-8")
