"""From an engine's name to the engine; libraries are imported only for the one that is asked for."""

from __future__ import annotations

from packer.engines.base import Engine
from packer.options import EngineName


def create_engine(name: EngineName, num_workers: int | None) -> Engine:
    """Return a started engine. Raises MissingExtraError where its library is not installed."""
    if name is EngineName.SPARK:
        from packer.engines.spark import SparkEngine

        return SparkEngine()
    from packer.engines.local import LocalEngine

    return LocalEngine(num_workers)
