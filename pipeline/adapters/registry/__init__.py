"""The registry: the one room that speaks the OCI distribution protocol.

A :class:`Registry` is one repository of one registry. Every body that comes back is hashed and
compared with the digest that was asked for; a registry that answers something else, or nothing,
is a :class:`RegistryError`. Plain HTTP is spoken on loopback only.

    documents   what a registry holds: manifests and descriptors
    answers     what it answers, and what that means
    origins     where an address leads, and whether we may go there
    deadline    how long a request may take in all
    wire        bytes to a host and back
    transport   one request to one host
    login       who we are
    requests    redirects, authorization and patience
    uploads     one blob on its way into a registry
    limits      the largest layer that a registry takes, where it says so
    client      Registry: reading and writing
    referrers   what lies beside a manifest
"""

from pipeline.adapters.registry.client import Registry
from pipeline.formats.oci import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    EMPTY,
    INDEXES,
    MANIFESTS,
    MAX_DOCUMENT_BYTES,
    OCI_INDEX,
    OCI_MANIFEST,
    ContentError,
    Descriptor,
    Manifest,
)

__all__ = [
    "DOCKER_INDEX",
    "DOCKER_MANIFEST",
    "EMPTY",
    "INDEXES",
    "MANIFESTS",
    "MAX_DOCUMENT_BYTES",
    "OCI_INDEX",
    "OCI_MANIFEST",
    "ContentError",
    "Descriptor",
    "Manifest",
    "Registry",
]
