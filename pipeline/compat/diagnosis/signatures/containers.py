"""Containers and what surrounds them: users, files, disks, images, pods."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.compat.diagnosis.signatures.sources import KUBERNETES
from pipeline.model.diagnoses import Blame

_DOCKER = "https://docs.docker.com/reference/cli/docker/container/run/"

SIGNATURES = (
    Signature(
        id="user-without-name",
        blame=Blame.IMAGE,
        cause="the container runs as a user[, {uid},] who has no entry in /etc/passwd (as OpenShift does), "
        "and PyTorch asks for the user's name",
        remedy="set USER (or LOGNAME) in the image or pod, or give the image an entry: "
        "TORCHINDUCTOR_CACHE_DIR alone is not enough since vLLM 0.22",
        seen=(
            "getpwuid(): uid not found: {uid:n}",
            "No username set in the environment",
            "getpwuid: couldn't find current user",
        ),
        contradicts="'Model architectures … failed to be inspected' is not about the model: its inspection "
        "asks for the name",
        sources=(
            "https://github.com/vllm-project/vllm/issues/44548",
            "https://github.com/vllm-project/vllm/pull/46734",
        ),
    ),
    Signature(
        id="home-not-writable",
        blame=Blame.USAGE,
        cause="the server's user cannot write its caches: {path}",
        remedy="give it a home that it can write: HOME=/tmp (or a volume), or HF_HOME, VLLM_CACHE_ROOT, "
        "TRITON_CACHE_DIR and TORCHINDUCTOR_CACHE_DIR each",
        seen=tuple(
            f"Permission denied: '{start}{{path:path}}'"
            for start in (
                "/.cache",
                "/.triton",
                "/.config",
                "/.local",
                "/root",
                "/.nv",
                "/.flashinfer",
                "/home",
                "/nonexistent",
                "/.huggingface",
                "/.inductor",
                "/.tvm-ffi",
                "/.",
            )
        ),
        explains=("file-not-readable",),
        may_pass=True,
        sources=(
            "https://github.com/vllm-project/vllm/issues/31959",
            "https://github.com/llm-d/llm-d/issues/1430",
        ),
    ),
    Signature(
        id="file-not-readable",
        blame=Blame.USAGE,
        cause="the server's user may not read or write a file: {path}",
        remedy="look at owner and mode of it as seen in the container (`id`, `ls -ln`): files of a model "
        "that were written with mode 0600 need `chmod -R a+rX`; with SELinux mount with :z",
        seen=(
            "PermissionError: [Errno 13] Permission denied: '{path:path}'",
            "[Errno 13] Permission denied: '{path:path}'",
            "Permission denied (os error 13) at path {path:path}",
            "exec {path:path}: permission denied",
            "exec: '{path:path}': permission denied",
        ),
        may_pass=True,
        sources=("https://github.com/vllm-project/vllm/issues/31959",),
    ),
    Signature(
        id="read-only",
        blame=Blame.USAGE,
        cause="the file system is read-only, and the server wants to write: {path}",
        remedy="give it a place to write: a tmpfs or volume for /tmp, HOME there, and the caches (HF_HOME, "
        "VLLM_CACHE_ROOT, TRITON_CACHE_DIR, TORCHINDUCTOR_CACHE_DIR); mount the model's cache without :ro, "
        "or set HF_HUB_OFFLINE=1",
        seen=(
            "[Errno 30] Read-only file system: '{path:path}'",
            "Read-only file system (os error 30) at path {path:path}",
            "{path:path}: Read-only file system",
        ),
        may_pass=True,
        sources=(_DOCKER,),
    ),
    Signature(
        id="pod-disk",
        blame=Blame.HOST,
        cause="Kubernetes ended the pod because its disk is used up",
        remedy="give the pod an ephemeral-storage limit with room for image, model and caches, or put these "
        "on a volume; clean up the node's images",
        seen=(
            "ephemeral local storage usage exceeds the total limit",
            "The node was low on resource: ephemeral-storage",
            "Usage of EmptyDir volume {} exceeds the limit",
            "The node had condition: [DiskPressure]",
        ),
        explains=("disk-full", "killed"),
        sources=(KUBERNETES,),
    ),
    Signature(
        id="disk-full",
        blame=Blame.HOST,
        cause="the disk is full",
        remedy="`df -h` and `docker system df` show where; a CUDA image takes 12 GB and 33 while it is "
        "built, and a model its size twice: prune, use --no-cache-dir, put HF_HOME on a larger volume",
        seen=(
            "[Errno 28] No space left on device",
            "No space left on device (os error 28)",
            "No space left on device",
            "[Errno 122] Disk quota exceeded",
            "Not enough free disk space to download the file",
            "You don't have enough free space in",
        ),
        sources=("https://github.com/actions/runner-images/issues/10237",),
    ),
    Signature(
        id="other-architecture",
        blame=Blame.USAGE,
        cause="the image is for another kind of processor than this machine's",
        remedy="pull or build it for this one: --platform linux/amd64 or linux/arm64; emulation (binfmt) "
        "runs no CUDA",
        seen=(
            "exec format error",
            "exec user process caused: exec format error",
            "[Errno 8] Exec format error",
            "no matching manifest for linux/{platform:path} in the manifest list",
            "image with reference {} was found but does not provide the specified platform",
            "no match for platform in manifest",
            "does not match the detected host platform",
        ),
        sources=("https://docs.docker.com/build/building/multi-platform/",),
    ),
    Signature(
        id="image-not-there",
        blame=Blame.USAGE,
        cause="the registry has no such image, or does not show it to whoever asks",
        remedy="look at the name and tag (`docker manifest inspect`); for a private one log in (`docker "
        "login`, imagePullSecrets)",
        seen=(
            "manifest unknown",
            "pull access denied for {image:path}",
            "repository does not exist or may require 'docker login'",
            "failed to resolve reference {image:path}: not found",
            "failed to authorize: failed to fetch",
            "unauthorized: authentication required",
        ),
        sources=(KUBERNETES,),
    ),
    Signature(
        id="registry-limit",
        blame=Blame.HOST,
        cause="the registry refuses further pulls from this address for now",
        remedy="log in (its limit is higher), pull by a mirror, or keep the image in a registry of your own",
        seen=(
            "toomanyrequests:",
            "You have reached your pull rate limit",
            "You have reached your unauthenticated pull rate limit",
        ),
        explains=("image-not-there",),
        sources=("https://docs.docker.com/docker-hub/usage/",),
    ),
    Signature(
        id="program-missing",
        blame=Blame.IMAGE,
        cause="the image has no such program as it is told to start: {program}",
        remedy="look at the image's entrypoint (`docker inspect`): arguments after the image's name replace "
        "its command and not its entrypoint; a Python under /root is out of another user's reach, and a "
        "script with Windows' line ends, or whose interpreter is missing, is not found either",
        seen=(
            "exec: '{program:path}': executable file not found in $PATH",
            "exec: '{program:path}': stat {}: no such file or directory",
            "exec {program:path}: no such file or directory",
            "unable to start container process: exec: '{program:path}'",
            "{program:path}: command not found",
        ),
        unless=(
            "Permission denied: '{path:path}'",
            "exec format error",
            "exec: '{path:path}': permission denied",
        ),
        sources=(_DOCKER,),
    ),
    Signature(
        id="engine-down",
        blame=Blame.HOST,
        cause="no container engine answers",
        remedy="start it (`systemctl start docker`, or dockerd), and let your user reach its socket (group "
        "docker, DOCKER_HOST)",
        seen=(
            "Cannot connect to the Docker daemon at",
            "permission denied while trying to connect to the Docker daemon socket",
            "permission denied while trying to connect to the docker API",
        ),
        sources=("https://docs.docker.com/engine/install/linux-postinstall/",),
    ),
    Signature(
        id="pod-reference-missing",
        blame=Blame.USAGE,
        cause="the pod names something that is not there in its namespace: {kind} {name}",
        remedy="create it in the pod's namespace, or mend the name: `kubectl get {kind} -n NAMESPACE`",
        seen=(
            "{kind} '{name}' not found",
            "couldn't find key {name:text} in {kind}",
        ),
        needs=(
            (
                "secret '{name}' not found",
                "configmap '{name}' not found",
                "persistentvolumeclaim '{name}' not found",
                "serviceaccount '{name}' not found",
                "couldn't find key",
            ),
        ),
        sources=(KUBERNETES,),
    ),
    Signature(
        id="volume-not-mounted",
        blame=Blame.HOST,
        cause="a volume of the pod cannot be mounted",
        remedy="`kubectl describe pod` has the reason: a volume that another node holds (ReadWriteOnce), a "
        "driver of storage that is not installed, or a server that does not answer",
        seen=(
            "MountVolume.SetUp failed for volume",
            "Multi-Attach error for volume",
            ("Unable to attach or mount volumes"),
        ),
        unless=("secret '{name}' not found", "configmap '{name}' not found"),
        sources=(KUBERNETES,),
    ),
    Signature(
        id="mount-source-missing",
        blame=Blame.USAGE,
        cause="what is to be mounted is not on this machine: {path}",
        remedy="name a folder that is there; with a remote engine or a virtual machine it has to be there, "
        "not here",
        seen=("bind source path does not exist: {path:path}", "error mounting '{path:path}' to rootfs"),
        sources=(_DOCKER,),
    ),
    Signature(
        id="container-name-taken",
        blame=Blame.USAGE,
        cause="a container of this name is there already: {name}",
        remedy="remove it (`docker rm -f`), take another name, or start with --rm",
        seen=("Conflict. The container name '{name:path}' is already in use",),
        sources=(_DOCKER,),
    ),
    Signature(
        id="registry-unreachable",
        blame=Blame.HOST,
        cause="the registry did not answer",
        remedy="try again; look at proxy and name server of the engine (for Docker: its service's "
        "HTTPS_PROXY), or take a mirror",
        seen=(
            "net/http: TLS handshake timeout",
            "net/http: request canceled while waiting for connection",
            "failed to do request: Head '{address:path}': dial tcp",
        ),
        explains=("image-not-there",),
        sources=(KUBERNETES,),
    ),
)
