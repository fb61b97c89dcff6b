"""What a Python distribution says of its licence: never more than it says."""

from __future__ import annotations

from email.parser import HeaderParser

import pytest

from pipeline.formats.licences import MAX_CHARACTERS, licence_of
from pipeline.model import Licence


def licence(*lines: str) -> Licence | None:
    return licence_of(HeaderParser().parsestr("\n".join(lines)))


@pytest.mark.parametrize(
    ("line", "expression"),
    [
        ("License-Expression: apache-2.0 or bsd-2-clause", "Apache-2.0 OR BSD-2-Clause"),
        ("License-Expression: LicenseRef-NVIDIA-Proprietary", "LicenseRef-NVIDIA-Proprietary"),
        ("License: MIT", "MIT"),
    ],
)
def test_an_expression_is_one_whichever_field_has_it(line: str, expression: str) -> None:
    assert licence(line) == Licence(expression, is_expression=True)


def test_a_name_is_not_guessed_into_an_expression() -> None:
    """Such a name is a family's; of two, the classifier was chosen from a list."""
    found = licence("License: BSD", "Classifier: License :: OSI Approved :: BSD License")
    assert found == Licence("BSD License", is_expression=False)
    assert licence("License: Apache 2.0") == Licence("Apache 2.0", is_expression=False)


def test_a_whole_licence_is_no_name() -> None:
    assert licence(f"License: {'word ' * MAX_CHARACTERS}") is None
    assert licence("License: first line", "  second line") is None
    assert licence("License: UNKNOWN") is None
    assert licence("Name: x") is None
