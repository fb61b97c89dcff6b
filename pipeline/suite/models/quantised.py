"""The tiny model with its projections quantised, in the formats in which quantised models are published.

Every scale is a power of two or a few bits times one, so that all number types hold it exactly: what such a
folder stands for is known to the last bit, and ``Quantised.weights`` are that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.suite import tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.suite.tiny_model import Array

GROUP = 64
"""So many weights in the direction of the input share a scale, where a format has groups."""
BITS = 4
_PACKED = 32 // BITS
_TOP = 2**BITS - 1
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight neighbouring columns AWQ puts into each place of a word, the lowest bits first."""
_SCALE_BITS = 4
"""Bits of a scale: bfloat16 has eight of them."""


@dataclass(frozen=True)
class Projection:
    """One quantised projection: what is stored, by the end of its name, and the weights it stands for."""

    stored: Mapping[str, Any]
    weights: Array


@dataclass(frozen=True)
class Method:
    """A way to quantise a projection, and how ``config.json`` says it."""

    quantise: Callable[[Array], Projection]
    config: Mapping[str, Any]


def contents(method: str) -> dict[str, bytes]:
    """File name to bytes of the model, quantised by this method."""
    shipped = tiny_model.contents()
    config = json.loads(shipped["config.json"]) | {"quantization_config": dict(METHODS[method].config)}
    return shipped | {
        "config.json": (json.dumps(config, indent=2, sort_keys=True) + "\n").encode(),
        "model.safetensors": _file_of(_tensors(method)),
    }


def weights(method: str) -> dict[str, Array]:
    """The weights that the quantised model stands for, by the names of the tiny model."""
    return {
        name: METHODS[method].quantise(values).weights if _is_projection(name) else values
        for name, values in tiny_model.weights().items()
    }


def _is_projection(name: str) -> bool:
    return name.endswith("_proj.weight")


def _tensors(method: str) -> dict[str, Any]:
    tensors: dict[str, Any] = {}
    for name, values in tiny_model.weights().items():
        if not _is_projection(name):
            tensors[name] = values
            continue
        stored = METHODS[method].quantise(values).stored
        tensors |= {f"{name.removesuffix('weight')}{end}": value for end, value in stored.items()}
    return tensors


# -- four bits in groups: GPTQ and AWQ --------------------------------------------------------------------


def _gptq(values: Array) -> Projection:
    """Symmetric: a weight is ``scale * (number - 8)``, and the zero is stored as one less, 7."""
    grouped = _grouped(values)
    scales = _scale_for(np.abs(grouped).max(1) / (_TOP // 2))
    numbers = np.clip(np.rint(grouped / scales[:, None]) + 8, 0, _TOP)
    zeros = np.full(scales.shape, 7)
    stored = {
        "qweight": _packed(numbers.reshape(values.T.shape).T).T,
        "qzeros": _packed(zeros),
        "scales": scales.astype(np.float16),
        "g_idx": np.arange(values.shape[1], dtype=np.int32) // GROUP,
    }
    return Projection(stored, _ungrouped((numbers - 8) * scales[:, None]))


def _awq(values: Array) -> Projection:
    """Asymmetric: a weight is ``scale * (number - zero)``, with a zero for each group."""
    grouped = _grouped(values)
    least, most = np.minimum(grouped.min(1), 0), np.maximum(grouped.max(1), 0)
    scales = _scale_for((most - least) / (_TOP - 1))
    zeros = np.clip(np.rint(-least / scales), 0, _TOP)
    numbers = np.clip(np.rint(grouped / scales[:, None]) + zeros[:, None], 0, _TOP)
    stored = {
        "qweight": _packed(_in_awq_order(numbers.reshape(values.T.shape))),
        "qzeros": _packed(_in_awq_order(zeros)),
        "scales": scales.astype(np.float16),
    }
    return Projection(stored, _ungrouped((numbers - zeros[:, None]) * scales[:, None]))


def _grouped(values: Array) -> Any:
    """Weights as both formats have them: groups of inputs, the inputs of a group, outputs."""
    return values.T.reshape(-1, GROUP, values.shape[0]).astype(np.float64)


def _ungrouped(grouped: Any) -> Array:
    turned: Array = grouped.reshape(-1, grouped.shape[-1]).T.astype(np.float32)
    return turned


def _packed(numbers: Any) -> Any:
    """Neighbours of a row put together into words, the first one into the lowest bits."""
    parts = numbers.astype(np.uint32).reshape(len(numbers), -1, _PACKED) << (
        BITS * np.arange(_PACKED, dtype=np.uint32)
    )
    return np.ascontiguousarray(np.bitwise_or.reduce(parts, 2).view(np.int32))


def _in_awq_order(numbers: Any) -> Any:
    return numbers.reshape(len(numbers), -1, _PACKED)[..., _AWQ_ORDER].reshape(numbers.shape)


def _scale_for(reach: Any) -> Any:
    """The smallest scale of few bits that is at least this."""
    fraction, exponent = np.frexp(reach)
    return np.ldexp(np.ceil(fraction * 2**_SCALE_BITS) / 2**_SCALE_BITS, exponent)


# -- eight bits: FP8 and INT8 -----------------------------------------------------------------------------


def _fp8(values: Array) -> Projection:
    """A weight is a scale of the whole projection times a number of eight bits, E4M3."""
    scale = float(_scale_for(np.abs(values).max() / E4M3.max()))
    codes = e4m3_codes(values / scale)
    return Projection(
        {"weight": Float8(codes), "weight_scale": np.array(scale, np.float32)},
        (E4M3[codes] * scale).astype(np.float32),
    )


def _int8(values: Array) -> Projection:
    """A weight is a scale of its output times a whole number. The tiny model's are: nothing is lost."""
    scale = tiny_model.step_for(float(np.abs(values).max()))
    return Projection(
        {
            "weight": np.rint(values / scale).astype(np.int8),
            "weight_scale": np.full((len(values), 1), scale, np.float32),
        },
        values,
    )


@dataclass(frozen=True)
class Float8:
    """Numbers of the type E4M3, each as its byte."""

    codes: Any


def _e4m3() -> Array:
    """The numbers by their bytes: four bits of exponent, three behind the point. Negative from 128 on.

    Table 1 of https://arxiv.org/abs/2209.05433.
    """
    exponent, fraction = np.divmod(np.arange(127), 8)
    wide = np.where(exponent == 0, fraction / 8 * 2.0**-6, (1 + fraction / 8) * 2.0 ** (exponent - 7.0))
    return np.concatenate([wide, [0.0], -wide]).astype(np.float32)


E4M3 = _e4m3()
"""The number of each byte; 0 at 127, which stands for none."""


def e4m3_codes(values: Any) -> Any:
    """The bytes of the numbers of E4M3 that are nearest to these; of two the one with an even byte."""
    positive, size = E4M3[:127], np.abs(values)
    above = np.clip(np.searchsorted(positive, size), 1, 126)
    below = above - 1
    far, near = positive[above] - size, size - positive[below]
    nearest = np.where((far < near) | ((far == near) & (above % 2 == 0)), above, below)
    return (nearest + np.where(np.signbit(values), 128, 0)).astype(np.uint8)


# -- the file -----------------------------------------------------------------------------------------------

_TYPES = {"float32": "F32", "float16": "F16", "int32": "I32", "int8": "I8"}


def _file_of(tensors: Mapping[str, Any]) -> bytes:
    """A safetensors file: the size of its header, the header as JSON, the tensors. numpy has no type E4M3."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name in sorted(tensors):
        tensor = tensors[name]
        kind, values = (
            ("F8_E4M3", tensor.codes) if isinstance(tensor, Float8) else (_TYPES[str(tensor.dtype)], tensor)
        )
        raw = np.ascontiguousarray(values).tobytes()
        header[name] = {
            "dtype": kind,
            "shape": values.shape,
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    return len(told).to_bytes(8, "little") + told + body


_INTEGERS = {"num_bits": 8, "type": "int", "symmetric": True}
METHODS: dict[str, Method] = {
    "gptq": Method(
        _gptq, {"quant_method": "gptq", "bits": BITS, "group_size": GROUP, "sym": True, "desc_act": False}
    ),
    "awq": Method(
        _awq,
        {"quant_method": "awq", "bits": BITS, "group_size": GROUP, "zero_point": True, "version": "gemm"},
    ),
    "fp8": Method(_fp8, {"quant_method": "fp8", "activation_scheme": "dynamic"}),
    "int8": Method(
        _int8,
        {
            "quant_method": "compressed-tensors",
            "format": "int-quantized",
            "ignore": ["lm_head"],
            "config_groups": {
                "group_0": {
                    "targets": ["Linear"],
                    "weights": _INTEGERS | {"strategy": "channel", "dynamic": False},
                    "input_activations": _INTEGERS | {"strategy": "token", "dynamic": True},
                }
            },
        },
    ),
}
"""The methods by name. Activations are quantised as well by the last two, where a kernel can do it."""
