"""Checks and writes the lists of shards that channels name; they are stored in the data set."""

from __future__ import annotations

from collections.abc import Sequence

from packer.channels.channel_plan import ChannelPlan
from packer.channels.key_lists import build_key_lists
from packer.dataset.manifest import Manifest
from packer.errors import OptionsError
from packer.stores.store import ObjectNotFoundError, Store


def check_key_lists(store: Store, manifest: Manifest, plans: Sequence[ChannelPlan], *, local_size: int) -> None:
    """Check that each list that a channel names exists and names the data set's shards.

    Raises:
        OptionsError: a list is missing or names other shards, or the store cannot have lists.
        OSError: the store cannot be read.
    """
    wanted = {plan.manifest_key for plan in plans if plan.manifest_key}
    lists = build_key_lists(manifest, root=store.uri, local_size=local_size) if wanted else {}
    for key in sorted(wanted):
        try:
            found = store.get(key)
        except ObjectNotFoundError:
            raise OptionsError(
                f"{store.uri}/{key}: expected the list of a channel's shards, found nothing; add `upload=True` to "
                "write it"
            ) from None
        if found != lists[key]:
            raise OptionsError(
                f"{store.uri}/{key}: expected a list of the shards below {store.uri}, found another, as after a copy "
                "from elsewhere; add `upload=True` to write it anew"
            )


def upload_key_lists(store: Store, manifest: Manifest, *, local_size: int) -> tuple[str, ...]:
    """Write missing or wrong lists for instances of `local_size` ranks, and return the keys of those written.

    Lists depend only on the data set, so concurrent writers write the same bytes.

    Raises:
        OptionsError: the store cannot have lists.
        OSError: the store cannot be read or written to.
    """
    lists = build_key_lists(manifest, root=store.uri, local_size=local_size)
    written = tuple(key for key, data in lists.items() if not _holds(store, key, data))
    for key in written:
        store.put(key, [lists[key]])
    return written


def _holds(store: Store, key: str, data: bytes) -> bool:
    try:
        return store.get(key) == data
    except ObjectNotFoundError:
        return False
