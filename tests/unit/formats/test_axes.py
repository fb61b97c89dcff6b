"""How people write the axes: one table, for questions and for the hints of the matrix."""

from __future__ import annotations

import pytest

from pipeline.compat import shipped
from pipeline.compat.explain import question
from pipeline.formats import axes
from pipeline.matrix.fields import Text


@pytest.mark.parametrize(
    ("spellings", "text", "meaning"),
    [
        (axes.CUDA, "CUDA-12.1.0", "cu121"),
        (axes.CUDA, "cu130", "cu130"),
        (axes.CUDA, "CPU", "cpu"),
        (axes.CUDA, "13", None),
        (axes.PYTHON, "py311", "3.11"),
        (axes.PYTHON, "3.11.7", "3.11"),
        (axes.PYTHON, "2.7", None),
        (axes.PLATFORM, "x86-64", "linux/amd64"),
        (axes.PLATFORM, "linux/arm64/v8", "linux/arm64"),
        (axes.PLATFORM, "windows", None),
        (axes.ARCH, "9.0+PTX", "sm_90"),
        (axes.ARCH, "sm_90a", "sm_90"),
        (axes.ARCH, "compute_120", "sm_120"),
        (axes.ARCH, "ninety", None),
        (axes.ARCH, "٩٠", None),
    ],
)
def test_a_spelling_has_one_meaning(spellings: axes.Spellings, text: str, meaning: str | None) -> None:
    assert next(axes.meanings(text, spellings), None) == meaning


@pytest.mark.parametrize("spelling", ["x64", "Linux/AMD64", "aarch64"])
def test_a_question_takes_what_the_matrix_proposes(spelling: str) -> None:
    asked = question.parse([f"platform={spelling}"], shipped()).platform
    proposed = Text("linux/(amd64|arm64)", "platform", "linux/amd64", axes.PLATFORM)._meant(spelling)
    assert asked == proposed
