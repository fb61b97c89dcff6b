"""An OCI image layout: a folder that holds what a repository of a registry holds, and is carried anywhere.

    reading  Layout: manifests, blobs, tags and referrers, each hashed before it is believed
    writing  LayoutWriter: the same, written so that a second run goes on where one was ended

Other programs read it too: `skopeo inspect oci:DIR:TAG`, `oras copy --from-oci-layout DIR:TAG`.
"""

from pipeline.adapters.layout.reading import Layout
from pipeline.adapters.layout.writing import LayoutWriter

__all__ = ["Layout", "LayoutWriter"]
