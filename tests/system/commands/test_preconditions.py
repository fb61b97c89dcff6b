"""Disk, engine and registry are looked at before anything is done: what is lacking is named with a remedy."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import httpx
import pytest

from pipeline.adapters import local_registry
from pipeline.model import Pin, Repository
from pipeline.model.errors import MACHINE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.commands.package_index import Index
    from tests.system.conftest import Server
from tests.system.commands.tiny_images import ENDS
from tests.system.commands.user import MATRIX, NO_INDEX, TORCH, User, a_user

pytestmark = pytest.mark.needs("engine", "registry", "x86-64")


@pytest.mark.needs("mounts")
def test_too_small_a_disk_is_said_before_anything_is_fetched(user: User) -> None:
    """A cache on 50 MB: exit 3 with both numbers."""
    large = Pin("torch", "2.13.0", TORCH.sha256, TORCH.filename, 200_000_000)
    user.writes(MATRIX % (user.base, user.repository), (large,))
    cache = user.home / "cache"
    cache.mkdir()
    mount = f'mount -t tmpfs -o size=50m tmpfs "{cache}" && exec "$@"'
    own = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), "sh", "-c", mount, "sh"]
    done = user.runs([*own, *user.command("build")], **NO_INDEX)
    assert done.returncode == MACHINE, done.stderr
    assert "52.4 MB are free for the wheels, the build needs 218 MB" in done.stderr
    assert "hint: `docker builder prune`" in done.stderr
    assert "no index offered" not in done.stderr


def test_an_engine_that_is_down_is_said_before_anything_is_done(user: User) -> None:
    """Exit 3 with a hint; not even a lock is made, and the tags are as they were."""
    shutil.rmtree(user.checkout / "locks")
    before = user.files(), user.tags()
    done = user.types("verify", DOCKER_HOST="unix:///nowhere/docker.sock", **NO_INDEX)
    assert done.returncode == MACHINE
    assert "could not reach the container engine" in done.stderr
    assert "DOCKER_HOST" in done.stderr
    assert (user.files(), user.tags()) == before


def test_an_engine_without_buildkit_is_said_before_anything_is_done(user: User) -> None:
    """The same, and which package is lacking."""
    shutil.rmtree(user.checkout / "locks")
    docker = user.home / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\necho \"docker: 'buildx' is not a docker command.\" >&2; exit 1\n")
    docker.chmod(0o755)
    before = user.files(), user.tags()
    done = user.types("verify", PATH=f"{docker.parent}:{os.environ['PATH']}", **NO_INDEX)
    assert done.returncode == MACHINE
    assert "'buildx' is not a docker command" in done.stderr
    assert "docker-buildx" in done.stderr
    assert (user.files(), user.tags()) == before


def test_a_platform_that_cannot_be_built_here_is_said_before_anything_is_fetched(user: User) -> None:
    """Exit 3, the platform, what this builder is for, and what would build it."""
    user.writes((MATRIX % (user.base, user.repository)).replace("vllm:", "platform: [linux/arm64]\nvllm:"))
    docker = user.home / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\necho 'Platforms:        linux/amd64, linux/386'\n")
    docker.chmod(0o755)
    before = user.files(), user.tags()
    done = user.types("build", PATH=f"{docker.parent}:{os.environ['PATH']}", **NO_INDEX)
    assert done.returncode == MACHINE
    assert (
        "is for linux/arm64, and the builder of this engine builds for linux/386, linux/amd64" in done.stderr
    )
    assert "qemu-user-static" in done.stderr
    assert (user.files(), user.tags()) == before
    user.left_nothing()


def test_a_port_taken_by_something_else_is_no_registry(user: User, index: Index) -> None:
    """Exit 3, what was asked and answered, and the option that names another."""
    done = user.types("publish", "--repository", f"127.0.0.1:{index.port}/team/vllm")
    assert done.returncode == MACHINE
    assert f"127.0.0.1:{index.port} is no registry" in done.stderr
    assert "--repository" in done.stderr


def test_no_registry_and_none_to_start_is_said_with_the_package(user: User, unused_port: int) -> None:
    """Exit 3; nothing listens there afterwards either."""
    there = f"127.0.0.1:{unused_port}/team/vllm"
    done = user.types("publish", "--repository", there, PATH=str(user.home))
    assert done.returncode == MACHINE
    assert f"no registry answers at 127.0.0.1:{unused_port}" in done.stderr
    assert "docker-registry" in done.stderr
    user.left_nothing()


def test_a_read_only_registry_is_said_before_anything_is_built(user: User, own_server: Server) -> None:
    """Exit 3, before a wheel is fetched."""
    own_server.stop()
    own_server.start(read_only=True)
    before = user.files()
    done = user.types("verify", "--repository", f"{own_server.host}/team/vllm", **NO_INDEX)
    assert done.returncode == MACHINE
    assert "takes no uploads" in done.stderr
    assert "--repository" in done.stderr
    assert user.files() == before


@pytest.mark.needs("index")
def test_uploads_that_broke_off_are_reported_where_a_build_fails(
    tmp_path: Path, links: Path, unused_port: int
) -> None:
    """How many, how large, where, and that nobody has to do anything about them."""
    data = tmp_path / "data" / "tagproof" / "registry" / str(unused_port)
    host = f"127.0.0.1:{unused_port}"
    assert local_registry.ensure(Repository(host, "any"), data, data / "registry.log")
    try:
        with a_user(host, tmp_path, ENDS) as user:
            uploads = f"http://{host}/v2/{user.staging.path}/blobs/uploads/"
            begun = httpx.post(uploads, trust_env=False)
            httpx.patch(begun.headers["Location"], content=bytes(1_500_000), trust_env=False)
            done = user.types("build", "--find-links", str(links), **NO_INDEX)
            assert done.returncode == MACHINE
            assert f"unfinished uploads to {user.staging}: 1, with 1.50 MB; no tag names them" in done.stderr
    finally:
        assert local_registry.stop(data)
