"""The command line that packs a data set once more, from the options that it was packed with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from packer.channels.channel_plan import Cluster
from packer.dataset.load import load_manifest
from packer.dataset.planfile import load_plan
from packer.errors import DataSetError, OptionsError
from packer.flags import option_name
from packer.options import PackOptions, parse_options
from packer.stores.open_store import is_local, open_store
from packer.stores.store import Store

_WORLD_FIELDS = ("instances", "gpus_per_instance", "gpus")
_CARRIED = ("anonymous", "requester_pays", "sse", "kms_key", "storage_class", "tags")
"""Options of buckets that hold for a container too; its endpoint and credentials are its own."""
_PLACES = ("source", "root", "class_map")
"""Options that name a place, which a container elsewhere has to reach."""


def repacking_arguments(store: Store, options: PackOptions, cluster: Cluster, *, dest: str) -> list[str]:
    """Return the arguments of `shardpack` that pack the source of the data set at `store` anew, to `dest`.

    Args:
        store: of the finished data set.
        options: those of this run, which say how places are reached.
        cluster: who will read.
        dest: where the new data set goes.

    Raises:
        DataSetError: the data set has no plan.
        OptionsError: its images came from this machine or from another data set, so no container can pack them.
    """
    document = load_plan(store)
    if document is None:
        raise DataSetError(f"{store.uri}: expected meta/plan.json beside the manifest; the data set is not whole")
    packed = parse_options({**document.options, "dest": store.uri})
    for name in _PLACES:
        place = getattr(packed, name)
        if place is not None and is_local(place):
            raise OptionsError(
                f"expected a data set that was packed from s3://..., so that a container can pack it anew; "
                f"{store.uri} was packed with `{name}={place}`",
                field="pipeline",
            )
    if load_manifest(open_store(packed.source, options.source_store()), missing_ok=True) is not None:
        raise OptionsError(
            f"expected a data set that was packed from images; {store.uri} is a copy of the data set "
            f"{packed.source}: name that one",
            field="pipeline",
        )
    carried = {name: getattr(options, name) for name in _CARRIED if getattr(options, name)}
    given = _differing({**msgspec.to_builtins(packed), **msgspec.to_builtins(carried)})
    shape = ("--instances", str(cluster.instances), "--gpus-per-instance", str(cluster.gpus_per_instance))
    return ["pack", packed.source, dest, *shape, *given, "--resume"]


def _differing(values: Mapping[str, Any]) -> list[str]:
    """Return the options that are not as they are by default, but those of places and the world."""
    arguments = []
    for field in msgspec.structs.fields(PackOptions):
        value = values[field.name]
        if field.name in ("source", "dest", *_WORLD_FIELDS) or value == field.default:
            continue
        flag = option_name(field.name)
        if isinstance(value, bool):
            arguments.append(flag)
        elif isinstance(value, list | tuple):
            arguments += [part for each in value for part in (flag, str(each))]
        else:
            arguments += [flag, str(value)]
    return arguments
