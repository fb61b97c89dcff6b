"""The rules of a certificate: small pure functions over one image, each of which yields its findings.

An error is what keeps a healthy use of the image from running; a warning what may; a note is worth knowing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.model import ImageFinding, RuleName
from pipeline.stages.audit.image_model import ImageModel
from pipeline.stages.audit.rules import (
    access,
    budget,
    closure,
    config,
    contents,
    cuda,
    devices,
    displaced,
    driver,
    driver_folder,
    environment,
    families,
    hooks,
    jit,
    pairs,
    recorded_files,
    requirements,
    secrets,
    shadow,
    shared_files,
    stack,
    symbols,
    toolkit,
    unseen,
)

Rule = Callable[[ImageModel], Iterator[ImageFinding]]

FAMILIES: dict[RuleName, tuple[Rule, ...]] = {
    "closure": (
        closure.unreadable,
        closure.sonames,
        closure.versions,
        families.alternatives,
        stack.executable,
    ),
    "symbols": (symbols.undefined,),
    "one-cuda": (cuda.majors, cuda.minors),
    "device-code": (devices.empty, devices.reached),
    "driver-floor": (driver.label, driver.requirement, driver.compilers),
    "jit": (
        jit.compiler,
        jit.headers,
        jit.ptxas,
        jit.fitness,
        jit.toolkit,
        jit.host_compiler,
        toolkit.parts,
        toolkit.headers,
        toolkit.links,
        driver_folder.linker,
        driver_folder.list_of_libraries,
    ),
    "shadow": (shadow.driver, displaced.by_name, displaced.siblings, displaced.by_path, displaced.in_folders),
    "contents": (
        contents.lock,
        contents.claims,
        contents.labels,
        contents.twice,
        contents.copies,
        contents.conda,
        recorded_files.present,
        recorded_files.as_installed,
        recorded_files.on_the_path,
        shared_files.contested,
        shared_files.hidden,
        unseen.packages,
    ),
    "requirements": (requirements.hold, pairs.together),
    "config": (
        config.preload,
        config.start,
        access.reachable,
        access.home,
        config.writable,
        config.devices,
        driver_folder.loader,
        environment.places,
        environment.architectures,
        secrets.settings,
        secrets.files,
    ),
    "hooks": (hooks.at_start,),
    "budget": (budget.limits, budget.growth),
}
"""The rules of each family. What ``exceptions`` finds comes of the waivers, after all of these."""

__all__ = ["FAMILIES", "Rule"]
