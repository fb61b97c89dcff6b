"""The registry: the only place that speaks the OCI distribution protocol.

A :class:`Registry` is one repository of one registry. Every body that comes back is hashed and
compared with the digest that was asked for; a registry that answers something else, or nothing,
is a :class:`RegistryError`. Plain HTTP is spoken on loopback only.

    origins     where an address leads, and whether we may go there
    responses   what a registry answers, and what that means
    transport   one request to one host
    auth        challenges, tokens and Docker's stored login
    session     requests for one repository: redirects, authorization, retries
    uploads     one blob on its way into a registry
    referrers   what refers to a manifest, and the lists of it
    contents    manifests, blobs and tags: reading and writing
    client      Registry: the contents, and their referrers
    limits      the largest layer that a registry takes, where it says so
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
