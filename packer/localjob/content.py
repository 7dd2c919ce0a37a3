"""The content of a job's channels: objects of a data set, put into folders before the job starts.

File         each instance's share as files in its own folder: links to files of a local data set, or downloads
FastFile     one folder with all objects of a split, shared by all instances
FileSystem   as FastFile, but the folder of a local data set
Pipe         nothing: `packer.localjob.pipe_writer` streams the objects
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence

from packer.channels.assignment import keys_of_instance
from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import ChannelPlan
from packer.channels.jobfiles import JobFiles
from packer.errors import DataSetError, OptionsError
from packer.localjob.job_spec import LocalJob
from packer.localjob.pipe_writer import Piece, WholeFile
from packer.planning.layout import MANIFEST_KEY
from packer.stores.open_store import absolute_uri, is_local
from packer.stores.store import Store

CHUNK_BYTES = 4 << 20
"""Bytes read from a store at a time."""


class Content:
    """The objects of a job's channels, by key."""

    def __init__(self, store: Store, plans: Sequence[ChannelPlan]) -> None:
        """List the objects of all splits.

        Raises:
            DataSetError: a shard is missing.
            OSError: the store cannot be listed.
        """
        self._store = store
        splits = {plan.split for plan in plans if plan.split}
        found = [info for split in splits for info in store.list(f"{split}/")]
        self._num_bytes: Mapping[str, int] = {info.key: info.num_bytes for info in found}
        for key in (key for plan in plans if plan.split for key in plan.keys):
            if key not in self._num_bytes:
                raise DataSetError(f"{store.uri}/{key}: expected a shard, found no file")

    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield an object's bytes in order. Raises OSError."""
        size = self._num_bytes[key]
        for start in range(0, size, CHUNK_BYTES):
            yield self._store.get_range(key, start, min(size, start + CHUNK_BYTES))

    def pieces(self, key: str) -> Iterator[Piece]:
        """Yield an object's pieces in order, for a stream. Raises OSError."""
        source = self._local_path(key)
        if source:
            yield WholeFile(source, self._num_bytes[key])
        else:
            yield from self.chunks(key)

    def keys_below(self, split: str) -> list[str]:
        """Return the keys of all objects below a split's prefix, sorted."""
        return sorted(key for key in self._num_bytes if key.startswith(f"{split}/"))

    def put_file(self, key: str, path: str) -> None:
        """Write an object to a file at `path`, or link it if it is on the same file system. Raises OSError."""
        source = self._local_path(key)
        if source:
            try:
                os.link(source, path)
            except OSError:  # another file system, or one without links
                shutil.copyfile(source, path)
            return
        with open(path, "wb") as file:
            file.writelines(self.chunks(key) if key in self._num_bytes else [self._store.get(key)])

    def show_file(self, key: str, path: str) -> None:
        """Make an object readable at `path`: by a symbolic link if it is a local file. Raises OSError."""
        source = self._local_path(key)
        if source:
            os.symlink(source, path)
        else:
            self.put_file(key, path)

    def _local_path(self, key: str) -> str:
        """Return the path of an object in a local data set; empty for a remote one."""
        return os.path.realpath(os.path.join(self._store.uri, key)) if is_local(self._store.uri) else ""


def fill_channels(
    content: Content, job: LocalJob, plans: Sequence[ChannelPlan], trees: Sequence[JobFiles], *, shared_dir: str
) -> None:
    """Put the files of all channels but Pipe channels where each instance looks for them.

    Args:
        content: objects of the channels.
        job: the job that the instances belong to.
        plans: all channels of the job.
        trees: files of the instances; an instance's position decides which keys it gets.
        shared_dir: folder for files that all instances see.

    Raises:
        OptionsError: the job mounts the data set as a file system, but the data set is in a bucket.
        OSError: an object cannot be read, or a file cannot be written.
    """
    for plan in plans:
        if plan.mode is InputMode.FILE:
            for position, tree in enumerate(trees):
                keys = keys_of_instance(plan, position, instances=len(trees), seed=job.assignment_seed, epoch=0)
                _put_files(keys, tree.folder(plan.name), content.put_file)
        elif plan.mode is not InputMode.PIPE:
            folder = _shared_folder(content, job, plan, shared_dir)
            for tree in trees:
                os.symlink(folder, tree.folder(plan.name))


def _shared_folder(content: Content, job: LocalJob, plan: ChannelPlan, shared_dir: str) -> str:
    """Return a folder that holds all objects of a channel."""
    if plan.mode is InputMode.FILE_SYSTEM:
        if not is_local(job.dest):
            raise OptionsError(f"`mode=FileSystem`: expected a data set in a folder, as if mounted, got {job.dest}")
        root = os.path.realpath(absolute_uri(job.dest))
        return root if plan.keys == (MANIFEST_KEY,) else os.path.join(root, plan.split)
    folder = os.path.join(shared_dir, plan.name)
    _put_files(content.keys_below(plan.split), folder, content.show_file)
    return folder


def _put_files(keys: Sequence[str], folder: str, put: Callable[[str, str], None]) -> None:
    """Put objects into a folder, named by their keys without the first part, as SageMaker names files.

    `put` takes a key and the path to put the object at.
    """
    os.makedirs(folder)
    for key in keys:
        path = os.path.join(folder, key.partition("/")[2] or key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        put(key, path)
