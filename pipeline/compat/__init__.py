"""What is known of CUDA, drivers and PyTorch's wheels, as data with a source for every row.

Pure facts that import nothing of ours, so every verb may ask them.
"""

from pipeline.compat.floors import default_cuda, driver_floor

__all__ = ["default_cuda", "driver_floor"]
