"""The recipes of CONTRIBUTING.md name every place that has to be touched, and no other.

Each has an example that is in the tree: the files that hold it are those of the list.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SOURCES = sorted(
    path
    for pattern in ("*.md", "*.json", "pipeline/**/*.py", "pipeline/**/*.json", "docs/*.md", "images/**/*")
    for path in ROOT.glob(pattern)
    if path.is_file() and path.name not in {"CONTRIBUTING.md", "CHANGELOG.md"}
)
"""Where a thing may have to be written down; its tests are looked at apart."""

QUOTED = '["`]{}["`]'
RECIPES = {
    "Add a family of rules to the certificate": QUOTED,
    "Add a check to the suite": f"{QUOTED}|check_{{}}",
    "Add a fact": QUOTED,
    "Add a failure to what `diagnose` recognises": QUOTED,
    "Handle a quirk of a registry": "{}",
}
"""How the example of each recipe is written where it stands."""


def recipe(title: str) -> str:
    """The text under this heading."""
    return PAGE.partition(f"### {title}\n")[2].partition("\n#")[0]


def example(title: str) -> str:
    """What the recipe follows through the tree."""
    found = re.search(r"^Example: `([^`]+)`", recipe(title), flags=re.MULTILINE)
    assert found, title
    return found[1]


def listed(title: str) -> list[str]:
    """The path of each step, in its order."""
    return re.findall(r"^\d\. `([^`]+)`", recipe(title), flags=re.MULTILINE)


def holders(pattern: str) -> set[str]:
    """The files, tests apart, in which this is written."""
    return {str(path.relative_to(ROOT)) for path in SOURCES if re.search(pattern, path.read_text("utf-8"))}


def test_every_recipe_is_held_to_the_tree() -> None:
    """A further one needs a row above."""
    section = PAGE.partition("## Recipes\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (.+)$", section, flags=re.MULTILINE) == list(RECIPES)


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_lists_the_files_that_hold_its_example(title: str) -> None:
    """A place that is missing from the list, and one that is needed no more, are both mistakes in it."""
    pattern = RECIPES[title].format(*[re.escape(example(title))] * 2)
    sources = [path for path in listed(title) if not path.startswith("tests/")]
    assert holders(pattern) == set(sources)


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_names_a_test_that_has_its_example(title: str) -> None:
    """One file of tests shows how the new thing is proven."""
    (test,) = (path for path in listed(title) if path.startswith("tests/"))
    assert example(title) in (ROOT / test).read_text("utf-8")
