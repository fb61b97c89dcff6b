"""The container engine: the only place that talks to Docker.

reaching    whether something listens where an engine should
errors      what Docker's client raises, as an EngineError
facts       what the engine says of itself
gpu_access  how it gives a container the GPUs, or what is missing
ownership   which process a container belongs to
containers  how one is launched, and what can be asked of it
client      Engine: containers and images
"""

from pipeline.adapters.engine.client import Engine
from pipeline.adapters.engine.containers import Container, Finished, Launch
from pipeline.adapters.engine.facts import Facts
from pipeline.adapters.engine.gpu_access import GpuAccess

__all__ = ["Container", "Engine", "Facts", "Finished", "GpuAccess", "Launch"]
