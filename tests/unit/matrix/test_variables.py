"""What `env:` and `serve:` may put into an image, what belongs elsewhere, and its healthy twins."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline import matrix
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from pipeline.model import Matrix

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "matrix.schema.json").read_text("utf-8"))
MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
base: {suite: bookworm, refresh: "2026-11-20"}
publish: {repository: registry.example.org/team/vllm}
"""

REFUSED = {
    "which libraries every program": [
        "LD_PRELOAD",
        "LD_AUDIT",
        "LD_LIBRARY_PATH",
        "LD_BIND_NOT",
        "GLIBC_TUNABLES",
    ],
    "which code Python loads": [
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PYTHONINSPECT",
        "PYTHONBREAKPOINT",
    ],
    "what every shell runs": ["BASH_ENV", "ENV", "SHELLOPTS", "IFS", "PS4"],
    "other code than what is installed": [
        "NODE_OPTIONS",
        "PERL5LIB",
        "JAVA_TOOL_OPTIONS",
        "OPENSSL_CONF",
        "GIT_SSH_COMMAND",
        "CUDA_INJECTION64_PATH",
        "VLLM_NCCL_SO_PATH",
        "LIBRARY_PATH",
    ],
    "the image sets it itself": ["PATH", "HOME", "USER", "SERVE_ARGS"],
    "which GPUs": [
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "NVIDIA_REQUIRE_CUDA",
        "NVIDIA_DISABLE_REQUIRE",
        "CUDA_VISIBLE_DEVICES",
    ],
    "named like a secret": [
        "HF_TOKEN",
        "HF_TOKEN_2",
        "hf_token",
        "HUGGING_FACE_HUB_TOKEN",
        "HFTOKEN",
        "GITHUB_TOKEN_PROD",
        "ACCESS_TOKENS",
        "VLLM_API_KEY",
        "OPENAI_APIKEY",
        "KAGGLE_KEY",
        "SIGNING_KEY_PEM",
        "API_KEYS",
        "KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "S3_ACCESS_KEY_ID",
        "CLIENT_SECRET",
        "SECRETS",
        "DB_PASSWORD_RO",
        "PGPASSWORD",
        "MYSQL_PASS",
        "DB_PWD",
        "GPG_PASSPHRASE",
        "GH_PAT",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "SENTRY_DSN",
        "TAGPROOF_KEY",
    ],
}
HEALTHY = [
    "VLLM_LOGGING_LEVEL",
    "VLLM_NO_USAGE_STATS",
    "VLLM_USE_V1",
    "VLLM_PLUGINS",
    "VLLM_KV_CACHE_LAYOUT",
    "VLLM_MAX_TOKENS_PER_EXPERT_FP4_MOE",
    "VLLM_ALLOW_INSECURE_SERIALIZATION",
    "VLLM_LOGGING_CONFIG_PATH",
    "VLLM_PASS_CONFIG",
    "TOKENIZERS_PARALLELISM",
    "PAD_TOKEN_ID",
    "MAX_TOKENS",
    "HF_HUB_OFFLINE",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HOME",
    "POSTGRES_PASSWORD_FILE",
    "CUDA_DEVICE_ORDER",
    "CUDA_HOME",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING",
    "NVIDIA_TF32_OVERRIDE",
    "NCCL_DEBUG",
    "NCCL_P2P_DISABLE",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_PTXAS_PATH",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PYTHONUNBUFFERED",
    "PYTHONHASHSEED",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONFAULTHANDLER",
    "PYTHONWARNINGS",
    "KEYBOARD_LAYOUT",
    "MONKEY_PATCH",
    "KEY_CACHE_DTYPE",
    "GPG_PUBLIC_KEY",
    "SECURE_MODE",
    "PASSIVE_MODE",
    "COMPASS",
    "ENVIRONMENT",
    "LDFLAGS",
    "PATHS",
    "USERNAME",
    "HOMEPAGE",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "http_proxy",
    "NO_PROXY",
    "AWS_REGION",
    "A",
]
CASES = [(name, why) for why, names in REFUSED.items() for name in names]


def load(folder: Path, more: str) -> Matrix:
    (folder / "matrix.yaml").write_text(MATRIX + more, encoding="utf-8")
    return matrix.load(folder / "matrix.yaml")


def refusal(folder: Path, more: str) -> str:
    """What is said of it."""
    with pytest.raises(UsageError) as caught:
        load(folder, more)
    return str(caught.value)


@pytest.mark.parametrize(("name", "why"), CASES)
def test_a_variable_that_is_not_the_images_is_refused_with_its_reason(
    name: str, why: str, tmp_path: Path
) -> None:
    message = refusal(tmp_path, f"env: {{{name}: 'x'}}\n")
    assert f"matrix.yaml:7:7: env.{name}: '{name}' is no environment variable for an image: " in message
    assert why in message
    assert "docker run" in message or "`serve:`" in message


@pytest.mark.parametrize("name", HEALTHY)
def test_a_variable_that_only_looks_like_one_of_them_stays(name: str, tmp_path: Path) -> None:
    assert load(tmp_path, f"env: {{{name}: '1'}}\n").specs[0].env == ((name, "1"),)


def test_editors_know_the_same_names() -> None:
    """Those in capitals: the pattern of the schema is that of the rule."""
    (pattern,) = SCHEMA["properties"]["env"]["patternProperties"]
    assert [name for name in HEALTHY if not re.search(pattern, name)] == []
    assert [name for name, _ in CASES if name.isupper() and re.search(pattern, name)] == []


SECRETS = {
    "a private key": "-----BEGIN PRIVATE KEY-----MIGHAgEAMBMGByqGSM49",
    "a Hugging Face token": "hf_" + "abCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh",
    "a GitHub token": "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345",
    "an AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "a password in an address": "http://me:hunter22@proxy.example.org:3128",
}


@pytest.mark.parametrize(("what", "value"), SECRETS.items())
@pytest.mark.parametrize("place", ["env: {HARMLESS: '%s'}\n", "serve: ['%s']\n", "serve: ['--header=%s']\n"])
def test_a_value_with_the_form_of_a_secret_is_refused_and_not_shown(
    place: str, what: str, value: str, tmp_path: Path
) -> None:
    message = refusal(tmp_path, place % value)
    assert f"the value holds {what}, and everyone who can pull the image can read it" in message
    assert value[:20] not in message


def test_a_key_of_several_lines_is_not_shown_either(tmp_path: Path) -> None:
    message = refusal(tmp_path, "env:\n  A: |\n    -----BEGIN EC PRIVATE KEY-----\n    MHcCAQEEIIX3\n")
    assert "the value holds a private key" in message
    assert "MHcCAQ" not in message


@pytest.mark.parametrize(
    "value",
    ["hf_transfer", "AKIA", "ghp", "-----BEGIN CERTIFICATE-----", "http://proxy.example.org:3128", "sk-1"],
)
def test_a_value_that_only_begins_like_a_secret_stays(value: str, tmp_path: Path) -> None:
    assert load(tmp_path, f"env: {{A: '{value}'}}\n").specs[0].env == (("A", value),)


@pytest.mark.parametrize("value", ["/usr/local/cuda/lib64/stubs", "/a:/opt/cuda/stubs/:/b", "stubs"])
def test_a_folder_of_stubs_is_refused_under_any_name(value: str, tmp_path: Path) -> None:
    """Under whatever variable it is looked for, it stands in for the driver."""
    assert "stubs, which hide the GPU's driver" in refusal(
        tmp_path, f"env: {{TRITON_LIBCUDA_PATH: '{value}'}}\n"
    )
    assert load(tmp_path, "env: {A: '/opt/mystubs/x'}\n")


@pytest.mark.parametrize("word", ["--api-key", "--api-key=abc", "--hf-token=x"])
def test_an_option_that_takes_a_secret_belongs_to_the_run(word: str, tmp_path: Path) -> None:
    message = refusal(tmp_path, f"serve: ['{word}']\n")
    assert f"'{word.partition('=')[0]}' takes a secret" in message
    assert "docker run IMAGE --" in message


@pytest.mark.parametrize(
    "word",
    [
        "--max-num-batched-tokens=64",
        "--return-tokens-as-token-ids",
        "--ssl-keyfile=/run/key",
        "key",
        "--tokenizer=a",
    ],
)
def test_an_option_that_only_counts_or_names_tokens_stays(word: str, tmp_path: Path) -> None:
    assert load(tmp_path, f"serve: ['{word}']\n").specs[0].serve == (word,)
