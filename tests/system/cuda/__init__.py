"""A package: what its tests share is gone after the last of them, not after those of other folders."""
