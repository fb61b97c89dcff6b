"""The image as the rules see it: its inventory, what is expected of it, and what follows, computed once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.adapters.image_files.links import Links
from pipeline.model.platforms import MACHINES
from pipeline.stages.audit import known_libraries
from pipeline.stages.audit.installed import askers, installed_per_environment
from pipeline.stages.audit.loader import Loaded, Loader
from pipeline.stages.audit.owners import Owners
from pipeline.stages.audit.python import environments, is_extension, site_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.compat.facts import Facts
    from pipeline.formats.elf.objects import SharedObject
    from pipeline.model import Expectations
    from pipeline.stages.audit.installed import Installed
    from pipeline.stages.audit.inventory import Distribution, Inventory
    from pipeline.stages.audit.loader import Load
    from pipeline.stages.audit.python import Environment

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH if an image's configuration sets none (the same in Docker and containerd)."""


@dataclass(frozen=True, eq=False)
class ImageModel:
    """One image that is judged. Objects are grouped by what loads them into a process.

    *Programs* are on PATH. *Modules* are extensions of an installed Python, and of PyTorch, which opens
    those with operators itself (``torch.ops.load_library``). *Packaged* libraries are in a folder of Python
    packages and not linked by any of these: only their package may open them. *Others* are not known to be
    loaded, among them the libraries that a wheel carries for its own use (``numpy.libs``).
    """

    inventory: Inventory
    expected: Expectations
    facts: Facts
    is_derived: bool = False
    """Whether it is known that the image was made from another one, which has a certificate of its own."""

    @cached_property
    def links(self) -> Links:
        """The image's paths."""
        return Links(self.inventory.nodes)

    @cached_property
    def loader(self) -> Loader:
        """The dynamic loader in this image."""
        return Loader(self.inventory, self.links)

    @cached_property
    def env(self) -> Mapping[str, str]:
        """The environment that the image's configuration sets."""
        return dict(self.inventory.config.env)

    @cached_property
    def path(self) -> tuple[str, ...]:
        """The folders of PATH."""
        entries = self.env.get("PATH", DEFAULT_PATH).split(":")
        return tuple(dict.fromkeys(entry.rstrip("/") or "/" for entry in entries if entry))

    def on_path(self, name: str) -> str | None:
        """The real path of the executable with this name; a name with a slash is itself a path."""
        paths = (name,) if "/" in name else (f"{folder}/{name}" for folder in self.path)
        for path in paths:
            real = self.links.file(path)
            if real and self.inventory.nodes[real].mode & 0o111:
                return real
        return None

    # -- Python -------------------------------------------------------------------------------------

    @cached_property
    def environments(self) -> Mapping[str, Environment]:
        """The environments, by their folder of packages."""
        return {environment.site: environment for environment in environments(self.inventory, self.links)}

    def environment_of(self, path: str) -> Environment | None:
        """The environment that holds this path."""
        site = site_of(path)
        return self.environments.get(site) if site else None

    @cached_property
    def distributions(self) -> tuple[Distribution, ...]:
        """The installed distributions, without those that another one vendors."""
        return tuple(
            distribution
            for distribution in self.inventory.distributions
            if (site := site_of(distribution.path)) and "/" not in distribution.path[len(site) + 1 :]
        )

    @cached_property
    def main(self) -> Environment | None:
        """The environment that serves a model: that of torch, else of the first python on PATH."""
        for distribution in self.distributions:
            if distribution.name == "torch" and (environment := self.environment_of(distribution.path)):
                return environment
        python = self.on_path("python") or self.on_path("python3")
        sites = [environment for environment in self.environments.values() if environment.python == python]
        return next(
            (environment for environment in sites if not environment.site.endswith("lib-dynload")), None
        )

    @cached_property
    def installed(self) -> Mapping[str, Distribution]:
        """The distributions of the main environment by normalised name."""
        site = self.main.site if self.main else ""
        return {
            distribution.name: distribution
            for distribution in self.distributions
            if site_of(distribution.path) == site
        }

    @cached_property
    def owners(self) -> Owners:
        """Whose the files of the installed distributions are."""
        return Owners(self.distributions, self.inventory.claims, self.inventory.nodes)

    @cached_property
    def installations(self) -> tuple[Installed, ...]:
        """What each environment has installed, of those that have anything."""
        return installed_per_environment(self)

    @cached_property
    def askers(self) -> Mapping[str, tuple[str, ...]]:
        """For each package that another one requires, the names of those."""
        return askers(self)

    # -- what is loaded -----------------------------------------------------------------------------

    @cached_property
    def machine(self) -> str:
        """The machine of the image: by its platform, else that of most objects."""
        if machine := MACHINES.get(self.inventory.config.platform):
            return machine
        machines = [obj.machine for obj in self.inventory.objects.values()]
        return max(set(machines), key=machines.count, default="x86_64")

    @cached_property
    def programs(self) -> Mapping[str, Load]:
        """What each program on PATH loads, by its real path; the entrypoint among them."""
        folders = {self.links.real(folder) for folder in self.path}
        paths = {
            real
            for node in self.inventory.nodes.values()
            if node.path.rpartition("/")[0] in folders and node.mode & 0o111
            if (real := self.links.file(node.path)) is not None
        }
        start = (*self.inventory.config.entrypoint, *self.inventory.config.command)[:1]
        paths |= {real for word in start if (real := self.on_path(word))}
        return {path: self.loader.load(path) for path in sorted(paths) if self._is_program(path)}

    def _is_program(self, path: str) -> bool:
        obj = self.inventory.objects.get(path)
        return obj is not None and obj.machine == self.machine and bool(obj.interpreter)

    @cached_property
    def modules(self) -> Mapping[str, Load]:
        """What each extension loads when its Python or PyTorch opens it, by real path."""
        return {
            obj.path: self._load_in(environment, obj)
            for obj, environment in self._in_environments()
            if is_extension(obj, environment) or self._has_operators(obj, environment)
        }

    def _has_operators(self, obj: SharedObject, environment: Environment) -> bool:
        """Whether it is an extension of PyTorch but not a module: it links PyTorch, and is not part of it."""
        links_torch = bool(known_libraries.TORCH_SONAMES & set(obj.needs))
        is_torchs_own = environment.package(obj.path) == "torch"
        return links_torch and not is_torchs_own and not _is_of_other_python(obj, environment)

    @cached_property
    def in_use(self) -> frozenset[str]:
        """Every object that a program or a module loads."""
        loads = (*self.programs.values(), *self.modules.values())
        return frozenset(path for load in loads for path in load.order)

    @cached_property
    def reachable(self) -> frozenset[str]:
        """Every object in use, and every one that a packaged library would load."""
        return self.in_use | {path for load in self.packaged.values() for path in load.order}

    @cached_property
    def packaged(self) -> Mapping[str, Load]:
        """What each packaged library would load, by real path."""
        return {
            obj.path: self._load_in(environment, obj)
            for obj, environment in self._in_environments()
            if obj.path not in self.in_use
            and not _is_of_other_python(obj, environment)
            and not is_grafted(obj.path)
        }

    @cached_property
    def others(self) -> Mapping[str, Load]:
        """What each object that nothing is known to load would load."""
        return {
            path: self.loader.load(path)
            for path, obj in self.inventory.objects.items()
            if path not in self.in_use and path not in self.packaged and obj.machine == self.machine
        }

    @cached_property
    def loads(self) -> Mapping[str, Load]:
        """Programs, modules and packaged libraries: only these may have serious findings."""
        return {**self.packaged, **self.modules, **self.programs}

    def _in_environments(self) -> Iterator[tuple[SharedObject, Environment]]:
        for path, obj in sorted(self.inventory.objects.items()):
            environment = self.environment_of(path)
            if environment and obj.machine == self.machine:
                yield obj, environment

    def _load_in(self, environment: Environment, obj: SharedObject) -> Load:
        """Load an object in a process of this Python, after the modules that its package imports first."""
        before, python = self._python(environment)
        if environment.package(obj.path) != "torch" and self.is_torchs_kind(obj, environment):
            before = self._with_torch(environment)
        return self.loader.load(obj.path, python, before)

    def is_torchs_kind(self, obj: SharedObject, environment: Environment) -> bool:
        """Whether torch is loaded before this object: it links torch, or its package imports torch first."""
        package = environment.package(obj.path)
        return bool(known_libraries.TORCH_SONAMES & set(obj.needs)) or package in known_libraries.TORCH_FIRST

    def _python(self, environment: Environment) -> tuple[Mapping[str, str], Loaded | None]:
        if environment.python not in self.inventory.objects:
            return {}, None
        return self._python_names[environment.python], Loaded(
            environment.python, environment.python.rpartition("/")[0]
        )

    @cached_property
    def _python_names(self) -> Mapping[str, Mapping[str, str]]:
        pythons = {
            environment.python for environment in self.environments.values()
        } & self.inventory.objects.keys()
        return {python: self.loader.load(python).names for python in pythons}

    def _with_torch(self, environment: Environment) -> Mapping[str, str]:
        return self._torch_names.get(environment.site, self._python(environment)[0])

    @cached_property
    def _torch_names(self) -> Mapping[str, Mapping[str, str]]:
        """For each environment with torch: the sonames that are loaded once torch is imported."""
        names_by_site: dict[str, Mapping[str, str]] = {}
        for site, environment in self.environments.items():
            names, python = self._python(environment)
            for glob in known_libraries.TORCH_LOADS[::-1]:
                for path in self.matching(f"{site}/{glob}"):
                    names = self.loader.load(path, python, names).names
                    names_by_site[site] = names
        return names_by_site

    def matching(self, glob: str) -> tuple[str, ...]:
        """The paths of the objects that a glob matches."""
        return tuple(path for path in sorted(self.inventory.objects) if fnmatchcase(path, glob))

    # -- CUDA ---------------------------------------------------------------------------------------

    @cached_property
    def uses_cuda(self) -> bool:
        """Whether the image is for GPUs: by its cell, else because something that is loaded links CUDA."""
        if self.expected.cell is not None:
            return self.expected.cell.needs_gpu
        needs = (need for path in self.in_use for need in self.inventory.objects[path].needs)
        return any(known_libraries.is_drivers(need) or known_libraries.cuda_major(need) for need in needs)

    @cached_property
    def runtimes(self) -> Mapping[str, tuple[str, ...]]:
        """The CUDA majors that loaded objects link, each with these objects."""
        paths_by_major: dict[str, list[str]] = {}
        for path in sorted(self.in_use):
            majors = {
                major
                for need in self.inventory.objects[path].needs
                if (major := known_libraries.cuda_major(need))
            }
            for major in majors:
                paths_by_major.setdefault(major, []).append(path)
        return {major: tuple(paths) for major, paths in sorted(paths_by_major.items())}

    @cached_property
    def cuda_major(self) -> str:
        """The CUDA major that torch's own libraries link; without torch that of most that link one."""
        users = self.runtimes
        torchs = [major for major, paths in users.items() if any("/torch/lib/" in path for path in paths)]
        return max(torchs or users, key=lambda major: len(users[major]), default="")

    @cached_property
    def components(self) -> tuple[tuple[str, str, str], ...]:
        """The installed parts of CUDA's toolkit: name, version ("13.0"), and where."""
        from_packages = (
            (
                known_libraries.COMPONENTS[stem],
                _minor(distribution.version),
                f"{distribution.name} {distribution.version}",
            )
            for distribution in self.installed.values()
            if (stem := re.sub(r"-cu[0-9]+$", "", distribution.name)) in known_libraries.COMPONENTS
        )
        folders = {
            match[0]: match[1]
            for path in self.inventory.nodes
            if (match := re.match(r"(?:/usr/local|/opt)/cuda-([0-9]+\.[0-9]+)/bin/nvcc$", path))
        }
        from_folders = (("nvcc", version, path) for path, version in sorted(folders.items()))
        return (*from_packages, *from_folders)

    @cached_property
    def cuda(self) -> str:
        """The version of the image's CUDA runtime ("13.0", or "13" if the minor is unknown); else empty."""
        if not self.uses_cuda:
            return ""
        versions = [version for what, version, _ in self.components if what == "the runtime"]
        versions += [
            match[1]
            for path in sorted(self.in_use)
            if (match := re.search(r"/cuda-([0-9]+\.[0-9]+)/.*/libcudart\.so", path))
            or (match := re.search(r"/libcudart\.so\.([0-9]+\.[0-9]+)\.", path))
        ]
        versions += [_minor(value) for value in (self.env.get("CUDA_VERSION", ""),) if value]
        if (torch := self.installed.get("torch")) and (
            local := re.search(r"\+cu([0-9]+)([0-9])", torch.version)
        ):
            versions.append(f"{local[1]}.{local[2]}")
        fitting = [
            version for version in versions if version.split(".")[0] == self.cuda_major or not self.runtimes
        ]
        return next(iter(fitting), self.cuda_major)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def is_grafted(path: str) -> bool:
    """Whether a wheel carries it for its own libraries to link, under a name of its own.

    auditwheel adds such copies: https://github.com/pypa/auditwheel.
    """
    return path.rpartition("/")[0].endswith(".libs")


def _is_of_other_python(obj: SharedObject, environment: Environment) -> bool:
    """Whether the object is a module of another Python, by its name."""
    name = obj.path.rpartition("/")[2]
    return ".cpython-" in name and not is_extension(obj, environment)
