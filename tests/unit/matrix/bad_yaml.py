"""Matrices that are refused for how they are written: each text, and what is said of it."""

from __future__ import annotations

from pipeline.matrix.cells import MAX_CELLS
from tests.unit.matrix.samples import GOOD

BAD_YAML: dict[str, tuple[str | bytes, list[str]]] = {
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
    "unquoted version that lacks a part": (
        GOOD.replace('["2.13.0"]', "[2.14]"),
        ["matrix.yaml:2:9: torch: 2.14 without quotes", 'quote it and write it in full: "2.14.0"'],
    ),
    "unquoted version in an include": (
        GOOD + 'include: [{torch: 2.14, cuda: cpu, python: "3.11"}]\n',
        ["matrix.yaml:9:19: include.torch: 2.14 without quotes", 'quote it and write it in full: "2.14.0"'],
    ),
    "unquoted variable with the name of an axis": (
        GOOD + "env: {torch: 2.14}\n",
        ["matrix.yaml:9:14: env.torch: 2.14 without quotes", 'quote it: "2.14"'],
    ),
    "version that is in no list and lacks a part": (
        GOOD.replace('["2.13.0"]', "2.14"),
        ["matrix.yaml:2:8: torch: a list is expected, not 2.14", 'write a list: ["2.14.0"]'],
    ),
    "word for the newest vLLM": (
        GOOD.replace('["0.32.0", "0.31.0"]', "latest"),
        ["matrix.yaml:5:7: vllm: a list is expected, not 'latest'", "did you mean auto?"],
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
}
