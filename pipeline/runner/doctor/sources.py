"""Where wheels and bases come from: indexes of packages, local folders, the distribution's tools."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters import paths
from pipeline.formats.units import size
from pipeline.model import index_of
from pipeline.model.errors import FactsError
from pipeline.model.examinations import Aspect, Standing
from pipeline.model.systems import SYSTEMS
from pipeline.stages import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.model import Lock, Pin, Spec

INDEX_SECONDS = 6.0
"""For the page of one project on each index."""

NO_INDEX = (
    "look at the network and HTTPS_PROXY; PIP_INDEX_URL names another index, --find-links a folder of wheels"
)

_KEYRINGS = Path("/usr/share/keyrings")


def missing(locks: Sequence[Lock], folders: Sequence[Path]) -> tuple[Pin, ...]:
    """The pins of these locks that neither the cache nor a local folder of wheels has by name."""
    pins = {pin.sha256: pin for lock in locks for pin in lock.pins}.values()
    absent = (pin for pin in pins if fetch.bytes_missing((pin,), paths.wheels()))
    return tuple(pin for pin in absent if not any((folder / pin.filename).is_file() for folder in folders))


def variant_pages(pins: Sequence[Pin]) -> tuple[str, ...]:
    """The pages of PyTorch's and vLLM's own indexes from which these wheels have to come."""
    local = (pin for pin in pins if "+" in pin.version)
    return tuple(dict.fromkeys(f"{index_of(pin.name, pin.version)}/{pin.name}/" for pin in local))


def index(url: str = "") -> Aspect:
    """Whether an index answers: the user's own, by the page of torch; or this page of another."""
    from pipeline.adapters.package_index import Index  # noqa: PLC0415 - it loads what only an index needs

    with Index() as there:
        name = url or there.host
        try:
            if url:
                there.reach(url)
            else:
                there.files("torch")
        except FactsError as error:
            return Aspect("index", Standing.UNKNOWN, f"{name}: {error.what}", error.hint)
    return Aspect("index", Standing.GOOD, f"{name} answers")


def as_far_as_needed(aspect: Aspect, absent: Sequence[Pin]) -> Aspect:
    """An index that does not answer hinders nothing while every wheel of the locks is here."""
    if aspect.standing is not Standing.UNKNOWN:
        return aspect
    if absent:
        waiting = size(sum(pin.size for pin in absent))
        return replace(aspect, text=f"{aspect.text}; {waiting} of wheels have yet to come")
    return replace(aspect, standing=Standing.LIMITED, text=f"{aspect.text}; all wheels of the locks are here")


def base(specs: Sequence[Spec]) -> Iterator[Aspect]:
    """What makes a base image: mmdebstrap, and the keyring of each suite; none where images are named."""
    suites = sorted({spec.base.suite for spec in specs if not spec.base.image})
    if not suites:
        return
    keyrings = {SYSTEMS[suite].keyring for suite in suites}
    lacking = [] if shutil.which("mmdebstrap") else ["mmdebstrap"]
    lacking += sorted(name for name in keyrings if not _has_keyring(name))
    names = ", ".join(suites)
    if lacking:
        what = f"no base of {names} can be made here: {' and '.join(lacking)} is missing"
        hint = f"apt-get install {' '.join(lacking)}; or name `base: image:` in the matrix"
        yield Aspect("base", Standing.ABSENT, f"{what}; one that is in staging is used", hint)
    else:
        yield Aspect("base", Standing.GOOD, f"mmdebstrap and the keyrings for {names} are here")


def _has_keyring(package: str) -> bool:
    """Whether a distribution's keyring is installed; Ubuntu's package and file differ in name."""
    stem = package.removesuffix("-keyring").removesuffix("-archive")
    return any(_KEYRINGS.glob(f"{stem}-archive-keyring*"))
