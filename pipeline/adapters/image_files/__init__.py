"""The files of an image, read and never run: from a registry, the engine, an archive, a layout or a folder.

Nothing in an image is trusted: paths may climb, links may loop, archives may lie about sizes. Memory and
time are bounded (``limits``), and what cannot be read is one clear error.
"""
