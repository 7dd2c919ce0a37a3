"""From an engine's name to the engine; libraries are imported only for the one that is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from packer.engines.engine import Engine
from packer.specs import EngineName


def create_engine(name: EngineName, num_workers: int | None, *, modules: Sequence[str] = ()) -> Engine:
    """Return a started engine; `modules` are those that tasks will come from, so that workers import them ahead.

    Raises MissingExtraError where its library is not installed.
    """
    if name is EngineName.SPARK:
        from packer.engines.spark_engine import SparkEngine

        return SparkEngine()
    from packer.engines.local_engine import LocalEngine

    return LocalEngine(num_workers, modules=modules)
