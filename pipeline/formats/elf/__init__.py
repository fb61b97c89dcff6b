"""ELF, as the dynamic loader reads it, and the GPU code in it."""
