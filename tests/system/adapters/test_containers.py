"""What can be asked of a container of a real engine."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.engine import Engine, Launch
from pipeline.model import ImageRef
from tests.crafted import Item, tar

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("engine", "compiler")

NAME, RUN = "127.0.0.1:1/tests/two-processes", "tests-of-containers"
TWO_PROCESSES = "#include <unistd.h>\nint main(void) { fork(); sleep(60); return 0; }\n"


@pytest.fixture
def image(tmp_path: Path) -> Iterator[ImageRef]:
    """An image with one program, which is two processes."""
    program = tmp_path / "two-processes"
    subprocess.run(
        ["gcc", "-static", "-x", "c", "-", "-o", program], input=TWO_PROCESSES, text=True, check=True
    )
    layer = tar(Item("two-processes", content=program.read_bytes(), mode=0o755))
    done = subprocess.run(["docker", "import", "-", NAME], input=layer, capture_output=True, check=True)
    try:
        yield ImageRef.parse(f"{NAME}@{done.stdout.decode().strip()}")
    finally:
        subprocess.run(["docker", "image", "rm", "--force", NAME], capture_output=True, check=True)


def test_every_process_of_a_container_is_known_by_its_number_on_this_machine(image: ImageRef) -> None:
    """As NVIDIA's library numbers them; none is left where it has ended."""
    with Engine.connect() as engine:
        container = engine.start(Launch(image=image, run=RUN, entrypoint=("/two-processes",)))
        try:
            deadline = time.monotonic() + 20
            while len(pids := container.pids()) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            named = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}
            assert (len(pids), named) == (2, {"two-processes"})
            container.stop(0)
            assert container.pids() == frozenset()
        finally:
            engine.reap(RUN)
