"""What is seen of processes while they run: their Python's stacks, and what the kernel says."""

from __future__ import annotations

import subprocess
import sys
import time

from pipeline.adapters import stacks


def test_a_process_without_python_says_so_and_what_it_waits_for() -> None:
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(b".")
        process.stdin.flush()
        process.stdout.read(1)  # now it is this program, and no copy of ours
        time.sleep(0.2)
        said = stacks.of_processes([process.pid], 10)
    finally:
        process.kill()
        process.communicate()
    assert "no stacks of Python: " in said
    assert "cat: S (sleeping)" in said


def test_a_process_that_has_ended_says_so() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert "it has ended" in stacks.of_processes([process.pid], 10)


def test_when_the_seconds_are_over_the_kernel_still_says_what_it_knows() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        started = time.monotonic()
        said = stacks.of_processes([process.pid] * 20, 0)
    finally:
        process.kill()
        process.wait()
    assert time.monotonic() - started < 5
    assert "the seconds for it were over" in said
    assert f"    {process.pid} " in said
