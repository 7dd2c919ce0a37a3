"""The process that makes a loader's batches: python -m packer.loading.feed_process MEMORY COMMANDS MESSAGES

The arguments are inherited descriptors: of the slots' memory, of the pipe of commands and of the pipe of messages. The
process ends when the loader closes its end of either pipe, or is gone.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

import msgspec

from packer.errors import DataSetError
from packer.loading.batch_feed import BatchFeed
from packer.loading.feed_messages import (
    BEAT_EVERY_S,
    NUMBER,
    Beat,
    Ended,
    Failed,
    FeedOrder,
    Made,
    MessageWriter,
    pack_error,
    read_exactly,
)
from packer.loading.loader_setup import Start, open_setup, start_feed
from packer.loading.sample_maker import load_transform
from packer.loading.slot_ring import SlotRing
from packer.logs import start_inherited_logs

_CLOSE_WITHIN_S = 0.5


def main() -> None:
    start_inherited_logs()
    memory, commands, messages = map(int, sys.argv[1:])
    for descriptor in (memory, commands, messages):  # a process that a transform starts must not hold them open
        os.set_inheritable(descriptor, False)
    writer = MessageWriter(messages)
    order = _read_order(commands)
    if order is None:
        return
    _start_thread(_beat, writer, os.getppid())
    with contextlib.suppress(BrokenPipeError):
        try:
            feed = _open_feed(order, memory)
        except Exception as error:
            writer.send(Failed(pack_error(error)))
        else:
            taker = _start_thread(_take_back, feed, commands)
            _send_batches(feed, writer)
            taker.join()  # the thread `taker` ends this process
        _wait_for_end(commands)


def _read_order(commands: int) -> FeedOrder | None:
    head = read_exactly(commands, NUMBER.size)
    data = None if head is None else read_exactly(commands, NUMBER.unpack(head)[0])
    return None if data is None else msgspec.msgpack.decode(data, type=FeedOrder)


def _open_feed(order: FeedOrder, memory: int) -> BatchFeed:
    ring = SlotRing(order.layout, order.num_slots, memory)
    os.close(memory)
    setup = open_setup(order.given, order.spec, load_transform(order.spec.transform))
    found = setup.shards.manifest.digest
    if found != order.manifest_digest:
        raise DataSetError(
            f"{setup.shards.uri}: expected the manifest of digest {order.manifest_digest}, found {found}: the data set "
            "was packed anew after the loader was opened"
        )
    return start_feed(setup, Start(epoch=order.epoch, position=order.position), ring)


def _send_batches(feed: BatchFeed, writer: MessageWriter) -> None:
    try:
        while (made := feed.take()) is not None:
            writer.send(Made(made))
    except BrokenPipeError:
        raise
    except BaseException as error:
        writer.send(Failed(pack_error(error)))
    else:
        writer.send(Ended())


def _take_back(feed: BatchFeed, commands: int) -> None:
    while (data := read_exactly(commands, NUMBER.size)) is not None:
        feed.give_back(NUMBER.unpack(data)[0])
    # Batches in progress are not needed any more; but what other processes share, such as a cache, is released.
    timer = threading.Timer(_CLOSE_WITHIN_S, os._exit, (0,))
    timer.daemon = True
    timer.start()
    with contextlib.suppress(Exception):
        feed.close()
    os._exit(0)


def _beat(writer: MessageWriter, parent: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        while os.getppid() == parent:
            writer.send(Beat())
            time.sleep(BEAT_EVERY_S)
    os._exit(0)


def _wait_for_end(commands: int) -> None:
    """Wait until the loader has read the last message; it then closes its end of the pipe."""
    while read_exactly(commands, NUMBER.size) is not None:
        pass


def _start_thread(target: object, *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


if __name__ == "__main__":
    main()
