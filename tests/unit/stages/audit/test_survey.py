"""Surveying: what the rules are given of an image, and what an image cannot make us keep."""

from __future__ import annotations

import hashlib
import subprocess
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from isal import isal_zlib

from pipeline.adapters.image_files.folder import Folder
from pipeline.formats.cuda_compilers import CudaCompiler
from pipeline.model.errors import ImageError
from pipeline.stages.audit import records
from pipeline.stages.audit import survey as room
from pipeline.stages.audit.survey import survey
from tests.crafted import Item, folder, image, link, tar

SITE = "opt/venv/lib/python3.11/site-packages"
ELF = Path(isal_zlib.__file__).read_bytes()
"""A library that is here in any case."""


def sha256(content: bytes) -> str:
    """As a RECORD writes it."""
    return "sha256=" + urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def package(name: str, record: str, site: str = SITE, metadata: str = "") -> list[Item]:
    """A distribution of version 1.0."""
    text = metadata or f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n\nLong text.\n"
    info = f"{site}/{name}-1.0.dist-info"
    return [
        Item(f"{info}/METADATA", content=text.encode()),
        Item(f"{info}/RECORD", content=record.encode()),
        Item(f"{info}/INSTALLER", content=b"uv\n"),
    ]


def test_objects_are_found_by_their_bytes_whatever_they_are_called() -> None:
    """Programs, libraries with a version in the name, versionless ones; not scripts, not data."""
    seen = survey(
        image(
            tar(
                Item("usr/bin/program", content=ELF, mode=0o755),
                Item("usr/lib/libx.so.1.2", content=ELF),
                Item("usr/lib/x.so", content=ELF),
                Item("usr/lib/libtext.so", content=b"INPUT(libx.so.1.2) " * 10),
                Item("usr/bin/script", content=b"#!/bin/sh\n" * 10, mode=0o755),
                Item("usr/share/data", content=ELF),
                link("usr/lib/libx.so.1", "libx.so.1.2"),
            )
        )
    )
    assert set(seen.objects) == {"/usr/bin/program", "/usr/lib/libx.so.1.2", "/usr/lib/x.so"}
    assert {one.path for one in seen.objects.values()} == set(seen.objects)
    assert seen.unreadable == ()
    assert "/usr/lib/libx.so.1" in seen.nodes


def test_a_compiler_says_what_it_makes_and_a_script_what_it_is_started_with() -> None:
    names = b"\0sm_90a\0Cuda compilation tools, release 12.8, V12.8.93\0"
    seen = survey(
        image(
            tar(
                Item("opt/bin/ptxas", content=ELF + names, mode=0o755),
                Item("opt/bin/program", content=ELF + names, mode=0o755),
                Item("opt/bin/serve", content=b"#! /root/venv/bin/python -I\n" + bytes(100), mode=0o755),
                Item("opt/bin/odd", content=b"#!\n" + bytes(100), mode=0o755),
            )
        )
    )
    assert seen.compilers == {"/opt/bin/ptxas": CudaCompiler("12.8", frozenset({"sm_90a"}))}
    assert seen.interpreters == {"/opt/bin/serve": "/root/venv/bin/python"}


def test_a_damaged_object_is_listed_and_the_rest_is_read() -> None:
    """Cut in the middle."""
    seen = survey(image(tar(Item("a.so", content=ELF[: len(ELF) // 2]), Item("b.so", content=ELF))))
    assert set(seen.objects) == {"/b.so"}
    assert [path for path, _ in seen.unreadable] == ["/a.so"]


def test_what_the_source_could_not_read_is_listed(tmp_path: Path) -> None:
    """A sparse library."""
    with (tmp_path / "libholes.so").open("wb") as file:
        file.write(ELF)
        file.seek(1 << 20, 1)
        file.write(b"x")
    body = subprocess.run(
        ["tar", "-S", "-C", tmp_path, "-c", "libholes.so"], check=True, capture_output=True
    ).stdout
    assert survey(image(body)).unreadable == (("/libholes.so", "it is sparse, and is not read"),)


def test_texts_are_those_that_rules_read() -> None:
    """The loader's configuration and places of credentials; no other."""
    seen = survey(
        image(
            tar(
                Item("etc/ld.so.conf", content=b"include ld.so.conf.d/*.conf\n"),
                Item("etc/ld.so.conf.d/x.conf", content=b"/x\n"),
                Item("root/.netrc", content=b"\xffpassword"),
                Item("etc/motd", content=b"hello"),
            )
        )
    )
    assert dict(seen.texts) == {
        "/etc/ld.so.conf": "include ld.so.conf.d/*.conf\n",
        "/etc/ld.so.conf.d/x.conf": "/x\n",
        "/root/.netrc": "\ufffdpassword",
    }


def test_a_record_is_held_against_what_is_there() -> None:
    """Absent, of another size; fine is what has no size, what lies outside, and bytecode that is gone."""
    record = """a/__init__.py,,5
a/data,sha256=x,5
a/edited.py,sha256=x,5
a/gone.py,sha256=x,5
"a/with, comma.py",,1
a/__pycache__/__init__.cpython-311.pyc,,
../../../bin/a,sha256=x,2
a-1.0.dist-info/RECORD,,
"""
    items = [
        *package("a", record),
        Item(f"{SITE}/a/__init__.py", content=b"x = 1"),
        Item(f"{SITE}/a/data", content=b"longer"),
        Item(f"{SITE}/a/edited.py", content=b"x = 2"),
        Item(f"{SITE}/a/with, comma.py", content=b"x"),
        Item("opt/venv/bin/a", content=b"ok", mode=0o755),
    ]
    (one,) = survey(image(tar(*items))).distributions
    assert (one.name, one.version, one.installer, one.path) == ("a", "1.0", "uv", f"/{SITE}/a-1.0.dist-info")
    assert one.missing == (f"/{SITE}/a/gone.py",)
    assert one.changed == (f"/{SITE}/a/data", f"/{SITE}/a/edited.py")
    assert one.size == 5 + 6 + 5 + 1 + 2 + len(record)


def test_what_conda_installs_has_its_prefix_written_into_it_so_only_sizes_count() -> None:
    """https://docs.conda.io/projects/conda-build/en/stable/resources/make-relocatable.html."""
    items = [*package("a", "a.py,sha256=x,5\n"), Item(f"{SITE}/a.py", content=b"x = 1")]
    items[-2] = Item(f"{SITE}/a-1.0.dist-info/INSTALLER", content=b"conda\n")
    (one,) = survey(image(tar(*items))).distributions
    assert one.changed == ()


def test_of_a_file_in_two_records_it_is_known_whose_it_is() -> None:
    """By its hash where the sizes are equal; data is compared by size alone."""
    ours, theirs = (f"a.py,{sha256(content)},5\ndata,,1\n" for content in (b"x = 1", b"x = 2"))
    items = [
        *package("ours", ours),
        *package("theirs", theirs),
        Item(f"{SITE}/a.py", content=b"x = 2"),
        Item(f"{SITE}/data", content=b"1"),
    ]
    claims = survey(image(tar(*items))).claims
    assert [(one.owner[-22:], one.holds) for one in claims[f"/{SITE}/a.py"]] == [
        ("ages/ours-1.0.dist-info"[-22:], False),
        ("es/theirs-1.0.dist-info"[-22:], True),
    ]
    assert [one.holds for one in claims[f"/{SITE}/data"]] == [True, True]


def test_a_large_library_is_compared_by_its_size_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing gigabytes would cost more than all else that a certificate does."""
    monkeypatch.setattr(records, "MAX_HASHED_BYTES", len(ELF) - 1)
    items = [*package("a", f"a.so,sha256=x,{len(ELF)}\n"), Item(f"{SITE}/a.so", content=ELF)]
    (one,) = survey(image(tar(*items))).distributions
    assert one.changed == ()


def test_a_record_may_name_files_through_a_link() -> None:
    """lib64 is one in every virtual environment."""
    record = f"../../../lib64/python3.11/site-packages/a.py,{sha256(b'x = 1')},5"
    items = [*package("a", record), Item(f"{SITE}/a.py", content=b"x = 1"), link("opt/venv/lib64", "lib")]
    (one,) = survey(image(tar(*items))).distributions
    assert (one.broken_files, one.size) == ((), 5)


def test_names_of_packages_are_normalised() -> None:
    """As an index does."""
    (one,) = survey(image(tar(*package("Flash_Attn.X", "")))).distributions
    assert one.name == "flash-attn-x"


def test_of_a_path_that_comes_twice_only_the_later_is_known() -> None:
    """An object that is replaced by text, a text by an object, a damaged object by none."""
    seen = survey(
        image(
            tar(
                Item("a.so", content=ELF),
                Item("a.so", content=b"text" * 20),
                Item("b.so", content=ELF[:200]),
                link("b.so", "a.so"),
                Item("etc/ld.so.preload", content=b"/evil.so"),
                Item("etc/ld.so.preload", "pipe"),
                *package("a", ""),
                link(f"{SITE}/a-1.0.dist-info/METADATA", "x"),
            )
        )
    )
    assert (dict(seen.objects), dict(seen.texts), seen.unreadable, seen.distributions) == ({}, {}, (), ())


def test_a_folder_and_an_image_of_it_are_surveyed_alike(tmp_path: Path) -> None:
    """All but names, layers and owners."""
    items = [*package("a", "a.so,,"), Item(f"{SITE}/a.so", content=ELF), folder("empty")]
    body = tar(*items)
    subprocess.run(["tar", "-x", "-p", "-C", tmp_path, "-f", "-"], input=body, check=True)
    ours, theirs = survey(Folder(tmp_path)), survey(image(body))
    assert (ours.objects, ours.distributions, ours.texts) == (
        theirs.objects,
        theirs.distributions,
        theirs.texts,
    )
    assert ours.nodes.keys() == theirs.nodes.keys()


def test_a_record_that_names_one_file_a_hundred_thousand_times_claims_it_once() -> None:
    """In seconds."""
    items = [*package("a", "a.py,,\n" * 100_000), Item(f"{SITE}/a.py", content=b"x = 1")]
    assert len(survey(image(tar(*items))).claims[f"/{SITE}/a.py"]) == 1


def test_of_a_pth_file_of_endless_lines_some_are_looked_for() -> None:
    items = [Item(f"{SITE}/a.pth", content=b"a\n" * 100_000)]
    assert len(survey(image(tar(*items))).path_files[f"/{SITE}/a.pth"]) == records.MAX_FOLDERS


# -- too much ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("MAX_ALL_TEXT_BYTES", "texts have more than"),
        ("MAX_ROWS", "more than 100 rows"),
        ("MAX_NAME_BYTES", "names in its objects"),
    ],
)
def test_what_would_fill_the_memory_is_an_error(
    limit: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is within its own bounds; there are too many."""
    monkeypatch.setattr(records if limit == "MAX_ROWS" else room, limit, 100)
    items = [*package("a", "x,,\n" * 200), Item("a.so", content=ELF)]
    with pytest.raises(ImageError, match=rf"an image cannot be surveyed: .*{says}"):
        survey(image(tar(*items)))
    assert survey(image(tar(folder("empty")))).nodes.keys() == {"/", "/empty"}
