"""The model: its files, where they come from, and whether this vLLM knows what is in them."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.compat.diagnosis.signatures.sources import HUB_VARIABLES, VLLM
from pipeline.model.diagnoses import Blame

_NOT_LOADED = ("checkpoint-mismatch", "weights-broken", "hub-unreachable")

SIGNATURES = (
    Signature(
        id="pointer-files",
        blame=Blame.MODEL,
        cause="the model's files are pointers of Git LFS, some 135 bytes of text each, in the place of "
        "weights",
        remedy="fetch what they point to: `git lfs pull` in the folder, or `hf download MODEL`",
        seen=(
            "parse_safetensors_file_metadata",
            "HeaderTooLarge",
            "version https://git-lfs.github.com/spec/v1",
            "invalid load key, 'v'.",
            "header too large",
        ),
        needs=(
            (
                "MemoryError",
                "HeaderTooLarge",
                "git-lfs",
                "invalid load key, 'v'.",
                "header too large",
                "Error while deserializing header",
            ),
        ),
        contradicts="a MemoryError here is no lack of memory: the first eight bytes of the text, 'version "
        "', are read as a length",
        explains=("host-memory", *_NOT_LOADED, "config-missing"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/29762",
            "https://github.com/vllm-project/vllm/pull/57975",
        ),
    ),
    Signature(
        id="weights-broken",
        blame=Blame.MODEL,
        cause="a file of weights is damaged or not whole",
        remedy="fetch it again (`hf download MODEL --force-download`) and compare its size; a full disk or "
        "an interrupted download leaves such files",
        seen=(
            "InvalidHeaderDeserialization",
            "MetadataIncompleteBuffer",
            "incomplete metadata, file not fully covered",
            "HeaderTooSmall",
            "InvalidHeaderLength",
            "Error while deserializing header",
            "PytorchStreamReader failed reading zip archive",
            "unexpected EOF, expected {n:n} more bytes. The file might be corrupted",
            "Consistency check failed: file should be of size",
        ),
        sources=("https://github.com/huggingface/safetensors#format",),
    ),
    Signature(
        id="model-gated",
        blame=Blame.USAGE,
        cause="the model[ {model}] is given only to those who accepted its terms, and the token that was "
        "used (or none) is not of one of them",
        remedy="accept the terms on the model's page, and give a token with read access: HF_TOKEN",
        seen=(
            "Access to model {model:path} is restricted",
            "Cannot access gated repo for url {}resolve",
            "Cannot access gated repo",
            "You are trying to access a gated repo",
            "GatedRepoError",
            "is gated. You must be authenticated",
            "401 Client Error: Unauthorized for url: https://huggingface.co",
            "403 Client Error: Forbidden for url: https://huggingface.co",
            "'401 Unauthorized' for url 'https://huggingface.co",
            "'403 Forbidden' for url 'https://huggingface.co",
        ),
        explains=("model-not-there", "config-missing", "hub-unreachable"),
        sources=(
            "https://huggingface.co/docs/hub/models-gated",
            "https://github.com/vllm-project/vllm/issues/9255",
        ),
    ),
    Signature(
        id="token-wrong",
        blame=Blame.USAGE,
        cause="the token for Hugging Face is wrong or was revoked",
        remedy="give a valid one by HF_TOKEN, or none for a public model; a line break at its end spoils it",
        seen=(
            "Invalid user token",
            "Invalid credentials in Authorization header",
            "Invalid username or password",
            "Illegal header value b'Bearer",
        ),
        explains=("model-gated", "model-not-there", "config-missing"),
        sources=(HUB_VARIABLES,),
    ),
    Signature(
        id="hub-limit",
        blame=Blame.HOST,
        cause="Hugging Face refuses further requests from this address for now (429)",
        remedy="give a token (HF_TOKEN: its limit is higher), keep HF_HOME in a volume so that nothing is "
        "fetched twice, and set HF_HUB_OFFLINE=1 where all is there",
        seen=(
            "429 Client Error: Too Many Requests",
            "429 Too Many Requests",
            "We had to rate limit your IP",
            "you have reached your 'api' rate limit",
            "rate limit{}huggingface.co",
        ),
        explains=("hub-unreachable", "config-missing", "model-not-there"),
        may_pass=True,
        sources=(
            "https://github.com/vllm-project/vllm/issues/24541",
            "https://huggingface.co/docs/hub/rate-limits",
        ),
    ),
    Signature(
        id="hub-offline",
        blame=Blame.USAGE,
        cause="the model is to be taken from the cache (HF_HUB_OFFLINE), and the cache does not have it",
        remedy="unset HF_HUB_OFFLINE for a first start, or mount the cache that has it and name its place "
        "(HF_HOME); or name the folder of the model instead of its name",
        seen=(
            "offline mode is enabled",
            "OfflineModeIsEnabled",
            "outgoing traffic has been disabled",
            "outgoing traffic has been disabled. To enable hf.co look-ups",
        ),
        explains=("hub-unreachable", "model-not-there", "config-missing"),
        sources=(HUB_VARIABLES, "https://github.com/vllm-project/vllm/issues/3719"),
    ),
    Signature(
        id="hub-unreachable",
        blame=Blame.HOST,
        cause="Hugging Face was not reached, and the cache does not have the files",
        remedy="give the machine a network or a proxy (HTTPS_PROXY, HF_ENDPOINT for a mirror), or put the "
        "model into a folder and name that",
        seen=(
            "We couldn't connect to '{url:path}' to load the files",
            "cannot find the requested files in the local cache",
            "cannot find the appropriate snapshot folder for the specified revision on the local disk",
            "LocalEntryNotFoundError",
            "HTTPSConnectionPool(host='huggingface.co'",
            "HTTPSConnectionPool(host='cdn-lfs",
            "Data processing error: CAS service error",
        ),
        explains=("config-missing", "model-not-there"),
        may_pass=True,
        sources=(HUB_VARIABLES, "https://github.com/huggingface/huggingface_hub/issues/4487"),
    ),
    Signature(
        id="model-not-there",
        blame=Blame.USAGE,
        cause="there is no model of this name or at this path[: {model}]",
        remedy="for a folder: mount it into the container (-v /models:/models) and name the path inside; "
        "for a name: look how it is written on Hugging Face, and give HF_TOKEN if it is private",
        seen=(
            "{model:path} is not a local folder and is not a valid model identifier",
            "Repo id must be in the form 'repo_name' or 'namespace/repo_name': '{model:path}'",
            "Repo id must use alphanumeric chars{}'{model:path}'",
            "Incorrect path_or_model_id: '{model:path}'",
            "Invalid repository ID or local directory specified: '{model:path}'",
            "RepositoryNotFoundError",
            "404 Client Error{}huggingface.co",
        ),
        explains=("config-missing",),
        sources=(VLLM,),
    ),
    Signature(
        id="config-missing",
        blame=Blame.MODEL,
        cause="the model's folder or repository has no configuration that is understood (config.json)[: "
        "{model}]",
        remedy="look what is there: an adapter (LoRA) is served with its base model (--enable-lora), "
        "Mistral's own format with --config-format mistral --load-format mistral --tokenizer-mode mistral, "
        "GGUF by the file's name",
        seen=(
            "{model:path} does not appear to have a file named config.json",
            "Invalid repository ID or local directory specified",
            "Can't load the configuration of '{model:path}'",
            "No supported config format found in",
            "Unrecognized model in {model:path}. Should have a 'model_type' key",
            "It looks like the config file at '{model:path}' is not a valid JSON file",
        ),
        sources=(VLLM,),
    ),
    Signature(
        id="weights-missing",
        blame=Blame.MODEL,
        cause="the model's folder has no weights, or not all of them[: {path}]",
        remedy="fetch it whole (`hf download MODEL`), and mount the folder that the cache's links lead "
        "into, not the links alone",
        seen=(
            "Cannot find any model weights with '{path:path}'",
            "No such file or directory: '{path:path}.safetensors'",
            "No such file or directory: {path:path}.safetensors",
            "Error no file named {} found in directory {path:path}",
        ),
        sources=(VLLM,),
    ),
    Signature(
        id="transformers-too-old",
        blame=Blame.IMAGE,
        cause="the Transformers of this image[ {transformers}] does not know the model's type {model}",
        remedy="take a newer vLLM, with the Transformers that it was released with; a newer Transformers "
        "alone only where this vLLM's requirements allow it",
        seen=(
            "has model type '{model}' but Transformers does not recognize this architecture",
            "Unrecognized configuration class {model:path}",
            "KeyError: '{model}' During handling of the above exception, another exception occurred",
        ),
        sources=(
            "https://github.com/gpustack/gpustack/issues/1589",
            "https://github.com/vllm-project/vllm-ascend/issues/3819",
        ),
    ),
    Signature(
        id="architecture-unknown",
        blame=Blame.IMAGE,
        cause="this vLLM[ {vllm}] has no implementation of the model's architecture {architecture}",
        remedy="take a newer vLLM that lists it (or an older one, if it was dropped); --model-impl "
        "transformers serves some of them",
        seen=(
            "Model architectures ['{architecture}'] are not supported for now",
            "Model architectures ['{architecture}'] are not supported",
            "Cannot find model module. '{architecture}' is not a registered model",
            "{architecture} has no vLLM implementation",
            "Model architecture {architecture} was supported in vLLM until",
        ),
        sources=("https://docs.vllm.ai/en/latest/models/supported_models/",),
    ),
    Signature(
        id="remote-code",
        blame=Blame.USAGE,
        cause="the model brings its own code, and that was not allowed to run",
        remedy="--trust-remote-code, if you trust whoever published the model: it runs as the server; pin "
        "it by --revision",
        seen=(
            "Please pass the argument 'trust_remote_code=True'",
            "contains custom code which must be executed to correctly load the model",
            "requires you to execute the configuration file in that repo",
            "please set the option 'trust_remote_code=True'",
            "Loading this model requires you to execute",
        ),
        explains=("config-missing", "transformers-too-old"),
        sources=("https://docs.vllm.ai/en/latest/models/supported_models/",),
    ),
    Signature(
        id="tokenizer-too-new",
        blame=Blame.IMAGE,
        cause="the model's tokenizer was written by a newer Transformers or tokenizers than the image has",
        remedy="take a newer vLLM with its Transformers, or the tokenizer of the model's first revision "
        "(--tokenizer, --tokenizer-revision)",
        seen=(
            "data did not match any variant of untagged enum",
            "Tokenizer class TokenizersBackend does not exist or is not currently imported",
            "Tokenizer class {name} does not exist or is not currently imported",
            "Exception: unknown variant '{name}', expected one of",
        ),
        sources=("https://github.com/allenai/open-instruct/issues/738",),
    ),
    Signature(
        id="tokenizer-package",
        blame=Blame.IMAGE,
        cause="the model's tokenizer needs a package that is not installed",
        remedy="install sentencepiece, tiktoken, protobuf or mistral-common, as the message says",
        seen=(
            "Couldn't instantiate the backend tokenizer from one of",
            "requires the SentencePiece library but it was not found",
            "'tiktoken' is required to read a 'tiktoken' file",
            "requires the tiktoken library but it was not found",
            "requires the protobuf library but it was not found",
            "is not installed. Please install 'mistral-common'",
        ),
        sources=("https://huggingface.co/docs/transformers/fast_tokenizers",),
    ),
    Signature(
        id="chat-template-missing",
        blame=Blame.MODEL,
        cause="the model has no chat template, so that /v1/chat/completions cannot build a prompt",
        remedy="--chat-template FILE, or ask /v1/completions; a base model is not made for chats",
        seen=(
            "default chat template is no longer allowed, so you must provide a chat template",
            "tokenizer.chat_template is not set and no template argument was passed",
            "does not define a chat template",
            "must provide a chat template if the tokenizer does not define one",
        ),
        sources=("https://docs.vllm.ai/en/latest/serving/openai_compatible_server/",),
    ),
    Signature(
        id="checkpoint-mismatch",
        blame=Blame.MODEL,
        cause="the model's weights do not fit what vLLM builds from its configuration[: {weight}]",
        remedy="look whether the weights are those of this config.json (a fine-tune with another head or "
        "more words, a quantization that the configuration does not name); else a newer vLLM",
        seen=(
            "There is no module or parameter named '{weight}' in",
            "Attempted to load weight (torch.Size",
            "KeyError: 'model.layers.{weight}'",
            "KeyError: 'layers.{weight}'",
            "KeyError: 'lm_head.{weight}'",
            "Following weights were not initialized from checkpoint",
            "assert param.size() == loaded_weight.size()",
            "assert param_data.shape == loaded_weight.shape",
        ),
        sources=(VLLM,),
    ),
    Signature(
        id="fast-download-missing",
        blame=Blame.IMAGE,
        cause="HF_HUB_ENABLE_HF_TRANSFER is set, and the package hf_transfer is not installed",
        remedy="unset the variable (newer releases of huggingface_hub download by hf_xet), or install "
        "hf_transfer",
        seen=("HF_HUB_ENABLE_HF_TRANSFER=1) but 'hf_transfer' package is not available",),
        explains=("hub-unreachable", "model-not-there", "config-missing"),
        sources=(HUB_VARIABLES,),
    ),
    Signature(
        id="tokenizer-file-broken",
        blame=Blame.MODEL,
        cause="a file of the tokenizer is not what its name says: most often a pointer of Git LFS or a "
        "broken download in its place",
        remedy="look at its size (`ls -l`; a pointer has some 135 bytes) and fetch it again: `git lfs "
        "pull`, or `hf download MODEL --force-download`",
        seen=(
            "Exception: expected value at line 1 column 1",
            "could not parse ModelProto from",
            "Error parsing line b'version https://git-lfs",
        ),
        unless=("https://git-lfs.github.com/spec",),
        sources=("https://github.com/huggingface/transformers/issues/22389",),
    ),
)
