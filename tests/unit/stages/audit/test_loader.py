"""The loader's search: what it finds is what the machine's own ld.so finds, case by case."""

from __future__ import annotations

import os
import platform
import random
import re
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.image_files.links import Links
from pipeline.adapters.image_files.nodes import Node
from pipeline.formats.elf import ld_cache
from pipeline.formats.elf.objects import SharedObject
from pipeline.formats.image_config import ImageConfig
from pipeline.stages.audit.inventory import Inventory
from pipeline.stages.audit.loader import Loader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.image_files.nodes import Kind

MACHINE = platform.machine()
MACHINES = {62: "x86_64", 183: "aarch64"}
INTERPRETER = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}[MACHINE]
NEEDED, STRTAB, SONAME, RPATH, RUNPATH = 1, 5, 14, 15, 29


def read(path: Path) -> SharedObject:
    """What the loader reads of an ELF object: its dynamic section, and no more."""
    body = path.read_bytes()
    machine, start = struct.unpack_from("<H", body, 18)[0], struct.unpack_from("<Q", body, 32)[0]
    headers = [struct.unpack_from("<IIQQQQQQ", body, start + 56 * i) for i in range(body[56])]
    offset = next(header[2] for header in headers if header[0] == 2)
    found: dict[int, list[int]] = {}
    for tag, value in struct.iter_unpack("<QQ", body[offset : offset + 16 * 60]):
        if tag == 0:
            break
        found.setdefault(tag, []).append(value)
    strings = next(
        found[STRTAB][0] - at + where
        for kind, _, where, at, _, size, *_ in headers
        if kind == 1 and at <= found[STRTAB][0] < at + size
    )

    def text(at: int) -> str:
        return body[strings + at : body.index(b"\0", strings + at)].decode()

    def folders(tag: int) -> tuple[str, ...]:
        return tuple(text(found[tag][0]).split(":")) if tag in found else ()

    return SharedObject(
        path=str(path),
        machine=MACHINES.get(machine, "another"),
        soname=text(found[SONAME][0]) if SONAME in found else "",
        interpreter="",
        needs=tuple(map(text, found.get(NEEDED, []))),
        rpath=folders(RPATH),
        runpath=folders(RUNPATH),
        undefined=frozenset(),
        defined=frozenset(),
        version_needs=(),
        version_defines=(),
        device_code=None,
    )


class Workshop:
    """Makes libraries with the linker under one folder, and asks both loaders for what one of them needs."""

    def __init__(self, root: Path) -> None:
        self.root, self._stubs = root / "image", root / "stubs"
        self.root.mkdir()
        self._stubs.mkdir()
        self._empty = self._stubs / "empty.o"
        subprocess.run(["gcc", "-c", "-o", str(self._empty), "-x", "c", "/dev/null"], check=True)

    def library(self, where: str, *needs: str, rpath: str = "", runpath: str = "", soname: str = "") -> Path:
        """A library at this path under the folder; what it needs must not be there yet."""
        path = self.root / where
        path.parent.mkdir(parents=True, exist_ok=True)
        tags = ["-rpath", rpath or runpath] if rpath or runpath else []
        tags += ["--disable-new-dtags" if rpath else "--enable-new-dtags"]
        stubs = [self._stub(need) for need in needs]
        self._link(path, soname or path.name, "--no-as-needed", *tags, *stubs)
        return path

    def _stub(self, soname: str) -> Path:
        """What the linker is shown in place of a library that comes later."""
        path = self._stubs / soname
        if not path.exists():
            self._link(path, soname)
        return path

    def _link(self, path: Path, soname: str, *arguments: str | Path) -> None:
        command = ["ld", "-shared", "-o", path, "-soname", soname, self._empty, *arguments]
        subprocess.run(command, check=True, capture_output=True)

    def inventory(self, library_path: str = "") -> Inventory:
        """The folder as if it were in an image, at its own path."""
        env = (("LD_LIBRARY_PATH", library_path),) if library_path else ()
        nodes = {str(path): node(path) for path in sorted(self.root.rglob("*"))}
        objects = {
            path: read(Path(path))
            for path, one in nodes.items()
            if one.kind == "file" and Path(path).read_bytes()[:4] == b"\x7fELF"
        }
        return Inventory("made", "", ImageConfig(env=env), (), nodes, objects, (), {})

    def ours(self, path: Path, library_path: str = "") -> dict[str, str | None]:
        """What our loader finds for every soname that comes up."""
        inventory = self.inventory(library_path)
        load = Loader(inventory, Links(inventory.nodes)).load(str(path))
        names = {need: load.names.get(need) for one in load.order for need in inventory.objects[one].needs}
        return dict(names)

    def theirs(self, path: Path, library_path: str = "") -> dict[str, str | None]:
        """What ld.so says of the same, the links in its answer followed."""
        listed = self.traced(path, library_path)
        rows = re.findall(r"^\t(\S+) => (not found|\S+)", listed, re.MULTILINE)
        return {name: None if found == "not found" else os.path.realpath(found) for name, found in rows}

    def traced(self, path: Path, library_path: str = "") -> str:
        """What ld.so prints in place of running it."""
        env = {"LD_TRACE_LOADED_OBJECTS": "1"} | ({"LD_LIBRARY_PATH": library_path} if library_path else {})
        command = [INTERPRETER, "--inhibit-cache", str(path)]
        return subprocess.run(command, env=env, check=False, capture_output=True, text=True).stdout


def node(path: Path) -> Node:
    """A node at its own path on this machine."""
    kind: Kind = "link" if path.is_symlink() else "directory" if path.is_dir() else "file"
    target = str(path.readlink()) if path.is_symlink() else ""
    mode, size = path.lstat().st_mode & 0o7777, path.lstat().st_size
    return Node(str(path), kind, mode, 0, 0, size, 0, target)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path.resolve())


def agree(workshop: Workshop, path: Path, library_path: str = "") -> Mapping[str, str | None]:
    """Both loaders find the same; returns what that is, relative to the folder.

    ld.so lists each object once, under the first name that it was asked for by.
    """
    ours, theirs = workshop.ours(path, library_path), workshop.theirs(path, library_path)
    assert {name: ours[name] for name in theirs} == theirs
    assert set(ours.values()) == set(theirs.values())
    return {name: found and str(Path(found).relative_to(workshop.root)) for name, found in ours.items()}


def test_a_library_that_is_nowhere_is_missing(workshop: Workshop) -> None:
    root = workshop.library("root.so", "liba.so")
    assert agree(workshop, root) == {"liba.so": None}


def test_runpath_with_origin_finds_what_lies_beside_it(workshop: Workshop) -> None:
    root = workshop.library("x/root.so", "liba.so", runpath="$ORIGIN/../y")
    workshop.library("y/liba.so")
    assert agree(workshop, root) == {"liba.so": "y/liba.so"}


def test_rpath_is_inherited_by_what_is_loaded(workshop: Workshop) -> None:
    root = workshop.library("x/root.so", "liba.so", rpath="$ORIGIN/../y")
    workshop.library("y/liba.so", "libb.so")
    workshop.library("y/libb.so")
    assert agree(workshop, root)["libb.so"] == "y/libb.so"


def test_runpath_is_not_inherited(workshop: Workshop) -> None:
    root = workshop.library("x/root.so", "liba.so", runpath="$ORIGIN/../y")
    workshop.library("y/liba.so", "libb.so")
    workshop.library("y/libb.so")
    assert agree(workshop, root)["libb.so"] is None


def test_an_object_with_runpath_inherits_no_rpath(workshop: Workshop) -> None:
    root = workshop.library("x/root.so", "liba.so", rpath="$ORIGIN/../y")
    workshop.library("y/liba.so", "libb.so", runpath="$ORIGIN/nowhere")
    workshop.library("y/libb.so")
    assert agree(workshop, root)["libb.so"] is None


def test_rpath_comes_before_ld_library_path_and_runpath_after_it(workshop: Workshop) -> None:
    by_rpath = workshop.library("by_rpath.so", "liba.so", rpath="$ORIGIN/y")
    by_runpath = workshop.library("by_runpath.so", "liba.so", runpath="$ORIGIN/y")
    workshop.library("y/liba.so")
    workshop.library("z/liba.so")
    library_path = str(workshop.root / "z")
    assert agree(workshop, by_rpath, library_path) == {"liba.so": "y/liba.so"}
    assert agree(workshop, by_runpath, library_path) == {"liba.so": "z/liba.so"}


def test_what_is_loaded_under_its_soname_is_not_searched_again(workshop: Workshop) -> None:
    """liba.so is found first by file name; its soname then serves the one that asks for it."""
    root = workshop.library("root.so", "liba.so", "libb.so", rpath="$ORIGIN/y")
    workshop.library("y/liba.so", soname="libreal.so")
    workshop.library("y/libb.so", "libreal.so")
    workshop.library("y/libreal.so")
    assert agree(workshop, root)["libreal.so"] == "y/liba.so"


def test_a_file_of_another_machine_is_passed_over(workshop: Workshop) -> None:
    root = workshop.library("root.so", "liba.so", rpath="$ORIGIN/y:$ORIGIN/z")
    other = workshop.library("y/liba.so")
    workshop.library("z/liba.so")
    body = bytearray(other.read_bytes())
    body[18:20] = struct.pack("<H", 243)  # RISC-V
    other.write_bytes(body)
    assert agree(workshop, root) == {"liba.so": "z/liba.so"}


def test_links_to_files_and_folders_are_followed(workshop: Workshop) -> None:
    root = workshop.library("root.so", "liba.so", "libb.so", rpath="$ORIGIN/link")
    workshop.library("y/liba.so.1", soname="liba.so")
    workshop.library("y/libb.so", "libc-of-ours.so", runpath="$ORIGIN/../beside")
    workshop.library("beside/libc-of-ours.so")
    (workshop.root / "y" / "liba.so").symlink_to("liba.so.1")
    (workshop.root / "link").symlink_to(workshop.root / "y")
    assert agree(workshop, root) == {
        "liba.so": "y/liba.so.1",
        "libb.so": "y/libb.so",
        "libc-of-ours.so": "beside/libc-of-ours.so",
    }


def test_origin_is_where_a_library_was_found_not_where_a_link_leads(workshop: Workshop) -> None:
    root = workshop.library("root.so", "liba.so", rpath="$ORIGIN/p")
    workshop.library("q/liba.so", "libb.so", runpath="$ORIGIN")
    workshop.library("p/libb.so")
    workshop.library("q/libb.so")
    (workshop.root / "p" / "liba.so").symlink_to("../q/liba.so")
    assert agree(workshop, root)["libb.so"] == "p/libb.so"


@pytest.mark.skipif(MACHINE != "x86_64", reason="glibc-hwcaps has levels on this machine only")
def test_a_subdirectory_for_better_processors_comes_first(workshop: Workshop) -> None:
    root = workshop.library("root.so", "liba.so", rpath="$ORIGIN/y")
    workshop.library("y/liba.so")
    workshop.library("y/glibc-hwcaps/x86-64-v2/liba.so")
    assert agree(workshop, root) == {"liba.so": "y/glibc-hwcaps/x86-64-v2/liba.so"}


def test_a_soname_with_a_slash_is_a_path_and_may_hold_tokens(workshop: Workshop) -> None:
    root, found = workshop.library("x/root.so", "@ORIGIN-libb.so"), workshop.library("x/libb.so")
    root.write_bytes(root.read_bytes().replace(b"@ORIGIN-libb.so", b"$ORIGIN/libb.so"))
    assert workshop.ours(root) == {"$ORIGIN/libb.so": str(found)}
    assert str(found) in workshop.traced(root)


@pytest.mark.parametrize("seed", range(12))
def test_on_libraries_strewn_by_chance_both_loaders_agree(workshop: Workshop, seed: int) -> None:
    """Seven libraries in three folders, some twice or missing, with RPATH or RUNPATH or neither."""
    chance = random.Random(seed)  # noqa: S311 - a test that can be run again, no secret
    names, folders = [f"libmade-{letter}.so" for letter in "abcdefg"], ["p", "q", "r"]
    for number, name in enumerate(names):
        needs = [later for later in names[number + 1 :] if chance.random() < 0.4]
        for folder in chance.sample(folders, k=chance.choice([0, 1, 1, 2])):
            workshop.library(f"{folder}/{name}", *needs, **tags(chance, folders))
    (workshop.root / "q").mkdir(exist_ok=True)
    root = workshop.library("p/root.so", *names[:3], **tags(chance, folders))
    library_path = str(workshop.root / "q") if chance.random() < 0.5 else ""
    assert agree(workshop, root, library_path)


def tags(chance: random.Random, folders: list[str]) -> dict[str, str]:
    """RPATH, RUNPATH or neither, with some of the folders in some order."""
    kind = chance.choice(["rpath", "runpath", "rpath", ""])
    there = chance.sample(folders, k=chance.choice([1, 2, 3]))
    return {kind: ":".join(f"$ORIGIN/../{folder}" for folder in there)} if kind else {}


# -- ld.so.conf and ld.so.cache ---------------------------------------------------------------------


@pytest.fixture
def cache(workshop: Workshop) -> tuple[bytes, dict[tuple[str, str], None]]:
    """A cache that ldconfig made, and what ldconfig says is in it."""
    workshop.library("y/liba.so.1")
    workshop.library("y/libb.so.2")
    workshop.library("y/glibc-hwcaps/x86-64-v3/liba.so.1")
    conf, made = workshop.root / "conf", workshop.root / "cache"
    conf.write_text(f"{workshop.root / 'y'}\n")
    subprocess.run(["/sbin/ldconfig", "-X", "-f", conf, "-C", made], check=True, capture_output=True)
    listed = subprocess.run(
        ["/sbin/ldconfig", "-p", "-C", made], check=True, capture_output=True, text=True
    ).stdout
    rows = re.findall(r"^\t(\S+) \(.*\) => (\S+)$", listed, re.MULTILINE)
    return made.read_bytes(), dict.fromkeys(rows)


def test_the_cache_is_read_as_ldconfig_reads_it(cache: tuple[bytes, dict[tuple[str, str], None]]) -> None:
    body, listed = cache
    entries = ld_cache.read(body, MACHINE)
    assert {(one.soname, one.path) for one in entries} == set(listed)
    assert any(one.soname == "liba.so.1" for one in entries)


@pytest.mark.skipif(MACHINE != "x86_64", reason="glibc-hwcaps has levels on this machine only")
def test_an_entry_for_better_processors_names_their_level(
    cache: tuple[bytes, dict[tuple[str, str], None]],
) -> None:
    levels = {one.level: one.path for one in ld_cache.read(cache[0], MACHINE) if one.soname == "liba.so.1"}
    assert set(levels) == {"", "x86-64-v3"}
    assert "/glibc-hwcaps/x86-64-v3/" in levels["x86-64-v3"]


def test_a_broken_cache_is_a_value_error_and_nothing_else(
    cache: tuple[bytes, dict[tuple[str, str], None]],
) -> None:
    body, chance = cache[0], random.Random(1)  # noqa: S311 - the same bytes in every run
    broken = [body[:cut] for cut in range(0, len(body), 97)]
    for _ in range(2000):
        spoiled = bytearray(body)
        for _ in range(4):
            spoiled[chance.randrange(min(len(spoiled), 4096))] = chance.randrange(256)
        broken.append(bytes(spoiled))
    outcomes = set()
    for one in broken:
        try:
            ld_cache.read(one, MACHINE)
            outcomes.add("read")
        except ValueError:
            outcomes.add("refused")
    assert "refused" in outcomes


def made(objects: Mapping[str, SharedObject], **changes: object) -> Inventory:
    """An inventory of these objects and nothing else."""
    nodes = {path: Node(path, "file", 0o755, 0, 0, 1, 0) for path in objects}
    inventory = Inventory("made", "", ImageConfig(), (), nodes, objects, (), {})
    return Inventory(**{**vars(inventory), **changes})


def plain(path: str, *needs: str) -> SharedObject:
    """An object that says nothing of folders."""
    empty: frozenset[str] = frozenset()
    soname = path.rpartition("/")[2]
    return SharedObject(path, "x86_64", soname, "", needs, (), (), empty, empty, (), (), None)


def test_without_a_cache_the_folders_of_ld_so_conf_are_searched() -> None:
    """Where nobody ran ldconfig there is no cache; what the configuration names is what it would hold."""
    objects = {
        path: plain(path, *needs) for path, needs in {"/opt/a/liba.so": (), "/x": ("liba.so",)}.items()
    }
    parts = {
        "/etc/ld.so.conf": "include ld.so.conf.d/*.conf\n",
        "/etc/ld.so.conf.d/a.conf": "/opt/a # ours\n",
    }
    inventory = made(objects, texts=parts)
    assert Loader(inventory, Links(inventory.nodes)).load("/x").names["liba.so"] == "/opt/a/liba.so"
    empty = made(objects)
    assert Loader(empty, Links(empty.nodes)).load("/x").missing == (("liba.so", "/x"),)


def test_a_cache_counts_rather_than_the_configuration_that_it_was_made_from() -> None:
    """A folder added to ld.so.conf without running ldconfig is not searched."""
    objects = {
        path: plain(path, *needs) for path, needs in {"/opt/a/liba.so": (), "/x": ("liba.so",)}.items()
    }
    inventory = made(objects, texts={"/etc/ld.so.conf": "/opt/a\n"}, linker_cache=())
    assert Loader(inventory, Links(inventory.nodes)).load("/x").missing == (("liba.so", "/x"),)


def test_rpath_beside_runpath_counts_for_nobody() -> None:
    """The linker writes one of both; patchelf can leave both."""
    objects = {one.path: one for one in (plain("/o/liba.so"), plain("/o/libb.so", "liba.so"))}
    both = replace(plain("/x", "libb.so"), rpath=("/o",), runpath=("/o",))
    inventory = made(objects | {"/x": both})
    load = Loader(inventory, Links(inventory.nodes)).load("/x")
    assert load.missing == (("liba.so", "/o/libb.so"),)


def test_the_drivers_libraries_are_not_missing_but_the_hosts() -> None:
    inventory = made({"/x": plain("/x", "libcuda.so.1", "libnvidia-ml.so.1")})
    load = Loader(inventory, Links(inventory.nodes)).load("/x")
    assert load.missing == ()
    assert load.drivers == {"libcuda.so.1", "libnvidia-ml.so.1"}
