"""The table of saboteurs is whole: each is aimed at something that exists, and the page has them all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline.model import Cell, checks_of
from pipeline.model.rule_families import RULE_FAMILIES
from tests.saboteurs.files import FILES
from tests.saboteurs.page import page
from tests.saboteurs.proofs import FORGERIES
from tests.saboteurs.saboteur import Caught, edit
from tests.saboteurs.servers import SERVERS

ROOT = Path(__file__).parents[3]
CPU = Cell("2.13.0", "cpu", "3.11", "0.32.0")


def test_the_page_is_that_of_the_table() -> None:
    assert (ROOT / "docs" / "saboteurs.md").read_text("utf-8") == page()


def test_each_has_a_name_of_its_own() -> None:
    names = [one.name for one in (*FILES, *SERVERS, *FORGERIES)]
    assert len({*names}) == len(names)


def test_each_is_aimed_at_a_check_or_a_family_of_rules() -> None:
    assert {one.caught_by for one in FILES} <= set(RULE_FAMILIES)
    assert {one.caught_by for one in SERVERS} <= {*checks_of(CPU)}


@pytest.mark.parametrize("saboteur", [*FILES, *SERVERS, *FORGERIES], ids=lambda one: one.name)
def test_another_catcher_or_other_words_are_not_it(saboteur: object) -> None:
    assert not saboteur.is_it(Caught("somebody", "anything"))  # type: ignore[attr-defined]
    assert not saboteur.is_it(Caught(saboteur.caught_by, ""))  # type: ignore[attr-defined]


def test_an_edit_is_one_instruction_whatever_its_text_is() -> None:
    text = "a 'quoted'\n\"text\" with $NAME"
    instruction, words = re.fullmatch(r"(RUN) (\[.*\])", edit("a/b.py", text, "x")).groups()  # type: ignore[union-attr]
    assert (instruction, json.loads(words)[3:]) == ("RUN", ["a/b.py", text, "x"])
