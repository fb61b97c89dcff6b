"""Between processes, GPUs and machines: NCCL, Gloo, ports, names, certificates."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures.signature import Signature
from pipeline.compat.diagnosis.signatures.sources import HUB_VARIABLES, NCCL, NCCL_VARIABLES, VLLM
from pipeline.model.diagnoses import Blame

_WAITS = (
    "No available shared memory broadcast block found in {seconds:n} second",
    "No available block found in {seconds:n} second",
)
_STUCK = (*_WAITS, "Watchdog caught collective operation timeout", "[Rank {rank:n}] Watchdog caught")
_BY_PEER = ("via P2P/CUMEM", "via P2P/IPC", "via P2P/direct pointer", "via P2P/indirect", "via P2P")

SIGNATURES = (
    Signature(
        id="peer-writes-lost",
        blame=Blame.HOST,
        cause="the workers hang in NCCL: GPUs are promised direct access to each other over PCIe, and what "
        "they write does not arrive, because ACS or the IOMMU redirects it; the GPUs show 100 % and do "
        "nothing",
        remedy="on the host: switch ACS and the IOMMU off (BIOS, kernel parameters iommu=off or "
        "amd_iommu=off, pci=noacs); as a stop-gap NCCL_P2P_DISABLE=1 and --disable-custom-all-reduce",
        seen=_STUCK,
        needs=(_BY_PEER,),
        times=2,
        may_pass=True,
        decides="start it with NCCL_P2P_DISABLE=1 and --disable-custom-all-reduce: if it comes up, it is "
        "this; if it hangs too, `py-spy dump` of a worker shows what it waits for",
        explains=("worker-waits", "collective-timeout"),
        sources=(
            "https://github.com/vllm-project/vllm/issues/33041",
            "https://github.com/NVIDIA/nccl/issues/2079",
            NCCL,
        ),
    ),
    Signature(
        id="peer-access",
        blame=Blame.HOST,
        cause="the GPUs cannot reach each other's memory directly",
        remedy="NCCL_P2P_DISABLE=1 and --disable-custom-all-reduce; virtual machines need all GPUs of a "
        "group passed through together",
        seen=(
            "peer access is not supported between these two devices",
            "cudaErrorPeerAccessUnsupported",
            "peer mapping resources exhausted",
            "cudaErrorTooManyPeers",
        ),
        explains=("nccl-error", "custom-all-reduce"),
        sources=(NCCL_VARIABLES, VLLM),
    ),
    Signature(
        id="custom-all-reduce",
        blame=Blame.HOST,
        cause="vLLM's own all-reduce failed: it shares memory between GPUs directly, which this machine or "
        "container does not allow",
        remedy="--disable-custom-all-reduce; with expandable_segments in PYTORCH_CUDA_ALLOC_CONF unset that",
        seen=(
            "custom_all_reduce.cuh:{line:n} 'invalid argument'",
            "custom_all_reduce.cuh:",
            "custom_all_reduce.cu:",
        ),
        explains=("illegal-access", "nccl-error"),
        sources=(VLLM,),
    ),
    Signature(
        id="nvlink-multicast",
        blame=Blame.HOST,
        cause="NCCL could not set up NVLink's multicast (NVLS): Fabric Manager or IMEX does not allow it, "
        "or is of another version than the driver",
        remedy="NCCL_NVLS_ENABLE=0 does without; on the host: fabric manager of the driver's very version, "
        "then restart it",
        seen=(
            "Failed to bind NVLink SHARP (NVLS) Multicast memory",
            "transport/nvls.cc:{line:n} NCCL WARN Cuda failure",
            "Cuda failure {} 'system not yet initialized'",
            "cuMulticastBindMem failed",
            "NCCL WARN [0]Cuda failure 801",
        ),
        explains=("nccl-error", "fabric-manager"),
        sources=(NCCL_VARIABLES,),
    ),
    Signature(
        id="worker-waits",
        blame=Blame.HOST,
        cause="a process waits for a worker that does not answer: it hangs in a collective call (peer "
        "access over PCIe), still compiles or loads, or was killed",
        remedy="look at the worker: `py-spy dump --pid` shows where it stands, dmesg whether it was killed, "
        "`nvidia-smi` 100 % without work is NCCL: then NCCL_P2P_DISABLE=1; compiling ends by itself",
        seen=_WAITS,
        times=2,
        may_pass=True,
        decides="NCCL_DEBUG=INFO: `via P2P` in its lines, and nothing after them, means peer access that is "
        "promised and swallowed; `via SHM` means that it is not that",
        sources=(
            "https://github.com/vllm-project/vllm/issues/33041",
            "https://github.com/vllm-project/vllm/issues/51513",
            VLLM,
        ),
        is_symptom=True,
    ),
    Signature(
        id="collective-timeout",
        blame=Blame.HOST,
        cause="a collective call of NCCL did not end in time: one of the ranks never came to it",
        remedy="read the first error of the other ranks; if there is none, NCCL_DEBUG=INFO and "
        "NCCL_P2P_DISABLE=1 tell whether it is the way between the GPUs",
        seen=(
            "Watchdog caught collective operation timeout",
            "Some NCCL operations have failed or timed out",
            "Timed out waiting {ms:n}ms for send operation to complete",
            "Timed out waiting {ms:n}ms for recv operation to complete",
        ),
        is_symptom=True,
        sources=(NCCL, "https://github.com/vllm-project/vllm/issues/5484"),
    ),
    Signature(
        id="two-ranks-one-gpu",
        blame=Blame.USAGE,
        cause="two ranks use the same GPU: {a} and {b}",
        remedy="give each rank a GPU of its own: CUDA_VISIBLE_DEVICES, LOCAL_RANK; two containers that "
        "share a GPU are no two GPUs",
        seen=(
            "Duplicate GPU detected : rank {a:n} and rank {b:n} both on CUDA device",
            "Duplicate GPU detected: rank {a:n} and rank {b:n}",
        ),
        explains=("nccl-error",),
        sources=(NCCL,),
    ),
    Signature(
        id="no-interface",
        blame=Blame.USAGE,
        cause="NCCL found no network interface that it may use",
        remedy="set NCCL_SOCKET_IFNAME (and GLOO_SOCKET_IFNAME) to one that `ip addr` lists, or unset it",
        seen=(
            "Bootstrap : no socket interface found",
            "no socket interface found",
            "NET/Socket : no interface found",
            "No interface found in the same subnet as remote address",
        ),
        explains=("nccl-error",),
        sources=(NCCL_VARIABLES,),
    ),
    Signature(
        id="host-name",
        blame=Blame.HOST,
        cause="the processes find each other by this machine's name or address, and that leads nowhere",
        remedy="set VLLM_HOST_IP and GLOO_SOCKET_IFNAME to an address and interface of this machine, or "
        "give its name in /etc/hosts",
        seen=(
            "Gloo connectFullMesh failed",
            "Unable to resolve hostname to a (local) address",
            "[enforce fail at {}gloo/transport/tcp",
            "gloo/transport/tcp/pair.cc{}Connection refused",
            "makeDeviceForInterface(): unsupported gloo device",
            "Unable to find address for:",
        ),
        sources=(VLLM,),
    ),
    Signature(
        id="peers-missing",
        blame=Blame.USAGE,
        cause="not all ranks came together in time[: {there} of {all}]",
        remedy="start all nodes with the same --nnodes, --master-addr and port, which must be reachable; "
        "the first error of the ranks that are missing tells more",
        seen=(
            "Timed out after {seconds:n} seconds waiting for clients. {there:n}/{all:n} clients joined",
            "The client socket has timed out after",
            "DistStoreError: Timed out",
            "wait timeout after {ms:n}ms, keys:",
        ),
        sources=(VLLM,),
    ),
    Signature(
        id="infiniband",
        blame=Blame.HOST,
        cause="NCCL's RDMA connection to another node failed",
        remedy="NCCL_IB_DISABLE=1 shows whether it is that; look at NCCL_IB_HCA, NCCL_IB_GID_INDEX (RoCE), "
        "the cable and the switch",
        seen=(
            "NET/IB : Got completion from peer",
            "NET/IB: Got completion from peer",
            "NET/IB : Got async event : port error",
            "Got completion with error 12",
            "Call to ibv_modify_qp failed",
        ),
        explains=("nccl-error", "collective-timeout"),
        sources=(NCCL_VARIABLES, NCCL),
    ),
    Signature(
        id="nccl-error",
        blame=Blame.HOST,
        cause="NCCL could not set up the way between the GPUs",
        remedy="NCCL_DEBUG=INFO names the reason: /dev/shm too small (--ipc=host), locked memory (--ulimit "
        "memlock=-1), the wrong interface (NCCL_SOCKET_IFNAME), peer access (NCCL_P2P_DISABLE=1 as a test)",
        seen=(
            "NCCL error: unhandled system error",
            "NCCL error: unhandled cuda error",
            "ncclSystemError",
            "ncclUnhandledCudaError",
            "ncclInternalError",
            "ncclRemoteError",
            "ncclInvalidUsage",
            "NCCL error:",
            "NCCL Error {n:n}:",
            "unhandled system error (run with NCCL_DEBUG=INFO",
            "unhandled cuda error (run with NCCL_DEBUG=INFO",
        ),
        is_symptom=True,
        sources=(VLLM, "https://github.com/vllm-project/vllm/issues/10626"),
    ),
    Signature(
        id="port-in-use",
        blame=Blame.USAGE,
        cause="the port[ {port}] is taken by another process",
        remedy="end it (`ss -ltnp` names it: most often an earlier server), or choose another: --port, "
        "`docker run -p`",
        seen=(
            "error while attempting to bind on address ({host:text}, {port:n}): address already in use",
            "EADDRINUSE{} port: {port:n}",
            "listen on any local network address. port: {port:n}",
            "Bind for {host:path}:{port:n} failed: port is already allocated",
            "listen tcp {host:path}:{port:n}: bind: address already in use",
            "failed to bind host port {}:{port:n}",
            "[Errno 98] Address already in use",
            "Address already in use",
            "port is already allocated",
            "EADDRINUSE",
        ),
        sources=("https://docs.docker.com/reference/cli/docker/container/run/",),
    ),
    Signature(
        id="port-privileged",
        blame=Blame.USAGE,
        cause="the user that runs the server may not open the port[ {port}]: those below 1024 are root's",
        remedy="choose a port of 1024 or above (--port 8000), or map it: `docker run -p 80:8000`",
        seen=(
            "[Errno 13] error while attempting to bind on address ({host:text}, {port:n}): permission denied",
            "bind: permission denied",
        ),
        explains=("file-not-readable",),
        sources=("https://docs.docker.com/reference/cli/docker/container/run/",),
    ),
    Signature(
        id="certificate-unknown",
        blame=Blame.HOST,
        cause="a TLS certificate is signed by an authority that is not trusted here: most often a company's "
        "proxy",
        remedy="bring its certificate into the image or container: REQUESTS_CA_BUNDLE, SSL_CERT_FILE, for "
        "uv --native-tls, for Docker /etc/docker/certs.d",
        seen=(
            "CERTIFICATE_VERIFY_FAILED",
            "self-signed certificate in certificate chain",
            "x509: certificate signed by unknown authority",
            "invalid peer certificate: UnknownIssuer",
            "unable to get local issuer certificate",
        ),
        explains=("no-network", "hub-unreachable", "index-unreachable"),
        may_pass=True,
        sources=("https://docs.astral.sh/uv/concepts/authentication/certificates/",),
    ),
    Signature(
        id="no-network",
        blame=Blame.HOST,
        cause="this machine or container does not reach what it asks for: no network, no name server, or a "
        "proxy that is not named",
        remedy="give it a network or a proxy (HTTPS_PROXY), or do without: a model in a folder, "
        "HF_HUB_OFFLINE=1",
        seen=(
            "Temporary failure in name resolution",
            "Failed to resolve '{host}'",
            "[Errno -2] Name or service not known",
            "[Errno 101] Network is unreachable",
            "dial tcp: lookup {host} on {}: no such host",
            "dial tcp: lookup {host}: Temporary failure",
            "failed to lookup address information",
        ),
        explains=("hub-unreachable", "index-unreachable"),
        may_pass=True,
        sources=(HUB_VARIABLES,),
    ),
)
