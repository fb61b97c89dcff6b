"""What is typed of images in folders, and of those that are to be elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli import main as command_line
from pipeline.cli import options
from pipeline.model.errors import USAGE, UsageError


@pytest.mark.parametrize(
    ("text", "folder", "reference"),
    [
        ("oci:layout:latest", "layout", ":latest"),
        ("oci:/media/a:b/layout:v1", "/media/a:b/layout", ":v1"),
        (f"oci:./layout@sha256:{'a' * 64}", "layout", f"@sha256:{'a' * 64}"),
    ],
)
def test_an_image_in_a_folder_is_named_by_tag_or_by_digest(text: str, folder: str, reference: str) -> None:
    assert options.in_layout(text) == (Path(folder), reference)


@pytest.mark.parametrize("text", ["oci:", "oci:layout", "oci:/media/a:b/layout", "oci::latest"])
def test_a_folder_without_an_image_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no image in a folder") as raised:
        options.in_layout(text)
    assert "oci:DIR:TAG" in raised.value.hint


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (
            ["import", "a.example/a:b", "--repository", "a.example/c"],
            "only what a policy accepts is imported",
        ),
        (["import", "a.example/a:b", "--policy", "p.yaml"], "--repository"),
        (["import", "a.example/a:b", "--policy", "p.yaml", "--repository", "nowhere"], "is no repository"),
        (["export", "a.example/a:b"], "--output"),
    ],
)
def test_what_is_lacking_is_said_before_anything_is_asked(
    words: list[str],
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command_line.main(words) == USAGE
    assert what in capsys.readouterr().err
