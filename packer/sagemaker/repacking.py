"""The command line that packs a data set again with the options that it was packed with."""

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
"""Options for buckets that a container takes over; it has its own endpoint and credentials."""
_PLACES = ("source", "root", "class_map")
"""Options that name paths or URIs, which a container on another machine must be able to read."""


def repacking_arguments(store: Store, options: PackOptions, cluster: Cluster, *, dest: str) -> list[str]:
    """Return the arguments of `shardpack` that pack the source of the data set in `store` again, to `dest`.

    Args:
        store: store of the finished data set.
        options: options of this run, for access to stores.
        cluster: the instances that will read the new data set.
        dest: URI of the new data set.

    Raises:
        DataSetError: the data set has no plan.
        OptionsError: the images came from this machine or from another data set, so a container cannot pack them.
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
    """Return flags for options that differ from their defaults, except source, destination and the world."""
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
