"""A folder as an image's root: nothing outside of it is read, and what cannot be read is said."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.image_files import folder, limits
from pipeline.adapters.image_files.folder import Folder
from pipeline.adapters.image_files.links import Links
from pipeline.adapters.image_files.nodes import Node, Unreadable
from pipeline.adapters.image_files.spool import IN_MEMORY_BYTES
from pipeline.model.errors import ImageError, UsageError
from tests.crafted import contents, everything, read

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_every_kind_of_node_is_seen_as_it_is(tmp_path: Path) -> None:
    """Mode, size and target; a hard link is a file."""
    (tmp_path / "d").mkdir(mode=0o700)
    (tmp_path / "d" / "f").write_bytes(b"bytes")
    (tmp_path / "d" / "f").chmod(0o4751)
    (tmp_path / "g").hardlink_to(tmp_path / "d" / "f")
    (tmp_path / "l").symlink_to("../out")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        tree = read(Folder(tmp_path))
    seen = {path: (node.kind, node.size, node.target, data) for path, (node, data) in tree.items()}
    assert seen == {
        "/": ("directory", 0, "", None),
        "/d": ("directory", 0, "", None),
        "/d/f": ("file", 5, "", b"bytes"),
        "/g": ("file", 5, "", b"bytes"),
        "/l": ("link", 0, "../out", None),
        "/pipe": ("other", 0, "", None),
        "/s": ("other", 0, "", None),
    }
    assert tree["/d/f"][0].mode == 0o4751
    assert (tree["/d"][0].mode, tree["/d"][0].uid) == (0o700, os.getuid())


def test_no_link_is_followed_out_of_the_root(tmp_path: Path) -> None:
    """To a file, to a folder, to the root itself."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("secret")
    for name, target in {"a": "../secret", "b": "..", "c": "/", "d": "."}.items():
        (root / name).symlink_to(target)
    assert {path: data for path, (_, data) in read(Folder(root)).items()} == dict.fromkeys(
        ["/", "/a", "/b", "/c", "/d"]
    )


def test_the_root_may_itself_be_named_by_a_link(tmp_path: Path) -> None:
    """It is what the user named."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "f").write_text("x")
    (tmp_path / "link").symlink_to("root")
    assert contents(Folder(tmp_path / "link")) == {"/f": b"x"}


def test_a_file_that_becomes_a_link_meanwhile_is_not_followed(tmp_path: Path) -> None:
    """Between the look at it and the reading of it."""
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "f").write_text("x")

    def wants(node: Node) -> bool:
        (root / "f").unlink()
        (root / "f").symlink_to("../secret")
        return node.path == "/f"

    assert isinstance(read(Folder(root), wants)["/f"][1], Unreadable)


def test_another_device_is_not_entered() -> None:
    """/proc below /: the folder is seen, nothing in it."""
    seen = []
    for node, _ in Folder(Path("/")).walk(lambda _node: False):
        seen.append(node.path)
        if len(seen) > 100_000:
            break
    assert os.stat("/proc").st_dev != os.stat("/").st_dev  # noqa: PTH116 - beside each other
    assert "/proc" in seen
    assert not any(path.startswith("/proc/") for path in seen)


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder that others may enter, and while the test runs we are others, if we are root."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        was = os.geteuid()
        if was == 0:
            os.seteuid(65534)
        try:
            yield Path(place)
        finally:
            os.seteuid(was)


def test_what_may_not_be_read_is_listed_and_the_rest_is_read(as_nobody: Path) -> None:
    """A file and a folder without permission."""
    for name in ("closed", "open"):
        (as_nobody / name).mkdir()
        (as_nobody / name / "f").write_text("x")
        (as_nobody / f"{name}-file").write_text("x")
    (as_nobody / "closed-file").chmod(0)
    (as_nobody / "closed").chmod(0)
    denied = Unreadable("Permission denied")
    assert contents(Folder(as_nobody)) == {
        "/open-file": b"x",
        "/open/f": b"x",
        "/closed-file": denied,
        "/closed": denied,
    }
    (as_nobody / "closed").chmod(0o700)


def test_large_and_small_and_empty_files_are_whole(tmp_path: Path) -> None:
    """Read, or mapped."""
    sizes = (0, 1, IN_MEMORY_BYTES, IN_MEMORY_BYTES + 1, 3 << 20)
    for size in sizes:
        (tmp_path / str(size)).write_bytes(os.urandom(size))
    tree = contents(Folder(tmp_path))
    assert tree == {f"/{size}": (tmp_path / str(size)).read_bytes() for size in sizes}


def test_what_has_too_many_bytes_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole of terabytes costs nothing to make."""
    monkeypatch.setattr(folder, "MAX_FILE_BYTES", 1000)
    (tmp_path / "f").write_bytes(bytes(1001))
    assert contents(Folder(tmp_path)) == {"/f": Unreadable("File too large")}


def test_too_many_names_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for any image."""
    monkeypatch.setattr(limits, "MAX_ENTRIES", 10)
    for number in range(11):
        (tmp_path / str(number)).touch()
    with pytest.raises(ImageError, match=f"{tmp_path} cannot be read: more than 10 entries"):
        read(Folder(tmp_path))


def test_names_that_are_not_utf8_are_read_and_written_out(tmp_path: Path) -> None:
    """The file is opened by its true name."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff")).write_bytes(b"x")
    assert contents(Folder(tmp_path)) == {r"/a\xff": b"x"}


def test_a_part_that_is_still_held_is_no_error(tmp_path: Path) -> None:
    """Whoever keeps a view of a mapping keeps the mapping."""
    (tmp_path / "f").write_bytes(b"x" * (2 << 20))
    held = [data[5:10] for _, data in Folder(tmp_path).walk(everything) if isinstance(data, memoryview)]
    assert bytes(held[0]) == b"xxxxx"


def test_what_is_no_folder_is_said_so(tmp_path: Path) -> None:
    """A file, and nothing."""
    (tmp_path / "f").touch()
    for name in ("f", "nothing"):
        with pytest.raises(UsageError, match=f"{name} is no folder"):
            Folder(tmp_path / name)


# -- links ----------------------------------------------------------------------------------------------


def links(**nodes: str | None) -> Links:
    """Links by name and target; files where the target is None."""
    return Links(
        {
            f"/{path}": Node(f"/{path}", "file" if to is None else "link", 0, 0, 0, 0, 0, to or "")
            for path, to in nodes.items()
        }
    )


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("/usr/lib/x", "/usr/lib/x"),
        ("/lib/x", "/usr/lib/x"),
        ("/lib64/x", "/usr/lib/x"),
        ("/lib/../x", "/usr/x"),
        ("/../../x", "/x"),
        ("/up/x", "/x"),
        ("//lib/./x", "/usr/lib/x"),
        ("/", "/"),
        ("/self", None),
        ("/one/x", None),
        ("/deep0", None),
        ("/deep1", "/end"),
    ],
)
def test_links_are_followed_as_linux_follows_them(tmp_path: Path, path: str, real: str | None) -> None:
    """Never out of the image, forty at most. The kernel says the same, asked in a root of its own."""
    targets = {
        "lib": "usr/lib",
        "lib64": "/lib",
        "up": "../../..",
        "self": "self",
        "one": "two",
        "two": "/one",
    }
    targets |= {f"deep{number}": f"deep{number + 1}" for number in range(40)} | {"deep40": "/end"}
    found = Links({f"/{name}": Node(f"/{name}", "link", 0, 0, 0, 0, 0, to) for name, to in targets.items()})
    assert found.real(path) == real
    (tmp_path / "usr" / "lib").mkdir(parents=True)
    for place in ("usr/lib/x", "usr/x", "x", "end"):
        (tmp_path / place).touch()
    for name, to in targets.items():
        (tmp_path / name).symlink_to(to)
    if os.getuid() == 0 and path != "/":
        pid = os.fork()
        if pid == 0:
            os.chroot(tmp_path)
            os.chdir("/")
            try:
                status = 0 if Path(path).samefile(real or "/nowhere") else 1
            except OSError:
                status = 2
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == (0 if real else 2)


def test_a_path_leads_to_a_file_or_to_none() -> None:
    """Not to a link that leads nowhere."""
    found = links(f=None, to_file="f", nowhere="g")
    assert [found.file(path) for path in ("/f", "/to_file", "/nowhere", "/g", "/")] == [
        "/f",
        "/f",
        None,
        None,
        None,
    ]
