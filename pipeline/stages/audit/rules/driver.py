"""Driver floor: the driver that the image claims to need agrees with what is inside."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from pipeline.compat.drivers import older
from pipeline.formats.numbers import whole
from pipeline.model import PROJECT, ImageFinding, Severity
from pipeline.stages.audit import known_libraries
from pipeline.stages.audit.coverage import driver_floor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="driver-floor")

LABEL = f"{PROJECT}.driver.min"
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)*")


def label(image: ImageModel) -> Iterator[ImageFinding]:
    """The label with the oldest driver agrees with what is inside."""
    value, floor = dict(image.inventory.config.labels).get(LABEL), driver_floor(image)
    if value is None:
        return
    if floor is None and value != "none":
        yield _finding(
            severity=Severity.WARNING,
            text=f"the label {LABEL} says {value}, and nothing inside uses CUDA",
            why="people choose hosts by it",
            hint="build the image again from its cell",
        )
    elif floor and not _NUMBER.fullmatch(value):
        yield _finding(
            severity=Severity.ERROR,
            text=f"the label {LABEL} says {value!r}, and what is inside needs driver {floor.version}",
            why=f"people choose hosts by it; {floor.reason}",
            hint="build the image again from its cell",
        )
    elif floor and value != floor.version:
        is_low = older(value, floor.version)
        yield _finding(
            severity=Severity.ERROR if is_low else Severity.WARNING,
            text=f"the label {LABEL} says {value}, and what is inside needs driver {floor.version}",
            why=f"people choose hosts by it; {floor.reason}",
            hint="build the image again from its cell",
        )


def requirement(image: ImageModel) -> Iterator[ImageFinding]:
    """``NVIDIA_REQUIRE_CUDA``, by which the container toolkit refuses drivers, names the CUDA inside."""
    required = re.search(r"cuda>=([0-9]+)\.([0-9]+)", image.env.get("NVIDIA_REQUIRE_CUDA", ""))
    major = image.cuda.partition(".")[0]
    if not required or not major or required[1] == major:
        return
    is_low = (whole(required[1]) or 0) < (whole(major) or 0)
    yield _finding(
        severity=Severity.WARNING,
        text=f"NVIDIA_REQUIRE_CUDA asks for CUDA {required[1]}.{required[2]}, the runtime is of {image.cuda}",
        why="a driver that is too old is accepted, and fails later"
        if is_low
        else "a driver that is new enough is refused",
        hint=f"set it to cuda>={major}.0",
    )


def compilers(image: ImageModel) -> Iterator[ImageFinding]:
    """Compilers of the image produce nothing that a driver at the floor cannot load."""
    floor = driver_floor(image)
    for what, theirs, where in image.components if floor else ():
        needed = image.facts.toolkit(theirs)
        if what in known_libraries.COMPILERS and floor and needed and older(floor.version, needed.driver):
            yield _finding(
                severity=Severity.NOTE,
                text=f"PTX that {what} of CUDA {theirs} compiles needs driver {needed.driver}, "
                f"the floor is {floor.version}",
                why=f"{where}: machine code that it compiles runs on the older one too, PTX does not",
                hint=f"run on driver {needed.driver} or newer where kernels are compiled at run time",
            )
            return
