"""What the files ask of an image, whoever reads them, and what no such program can ask."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.model import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.model import Policy

COLUMNS = 100

NOT_ASKED = (
    "How old a proof is, after how many attempts it passed, on which GPUs, by which checks and"
    " versions of them, what its certificate and its scan say, on which days a signer's key counts,"
    " and which tags name the image: this program cannot ask for it."
)

NAME = f"{PROJECT}-proof"
"""What the objects are called in a cluster."""


def published(policy: Policy) -> tuple[str, ...]:
    """The repositories whose images are signed plainly when they are published, in order."""
    return tuple(str(one) for one, needs in policy.repositories.items() if needs == "published")


def every(policy: Policy) -> tuple[str, ...]:
    """All repositories that the policy names, in order."""
    return tuple(map(str, policy.repositories))


def globs(repositories: Iterable[str]) -> list[str]:
    """Patterns for the images of these repositories, by tag and by digest, and of no other."""
    return [f"{repository}{mark}*" for repository in repositories for mark in ":@"]


def head(policy: Policy, asks: str, *paragraphs: str) -> str:
    """The comment at the beginning of a file: from which policy it was made, and what it asks of that."""
    source = (
        f"Written by `{PROJECT} policy export` from the policy {policy.digest}, all of which"
        f" `{PROJECT} gate IMAGE --policy FILE` asks. This asks for {asks}"
    )
    lines: list[str] = []
    for paragraph in (source, *paragraphs):
        lines += [f"# {line}" for line in textwrap.wrap(paragraph, COLUMNS, break_on_hyphens=False)]
    return "".join(f"{line}\n" for line in lines)


def documents(*values: Mapping[str, Any]) -> str:
    """YAML of these documents, each text of several lines as such a block."""
    return yaml.dump_all(values, Dumper=_Dumper, sort_keys=False, width=COLUMNS, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes keys and programs as people read them."""

    def ignore_aliases(self, _data: object) -> bool:
        """Nothing refers to another part of the file."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
