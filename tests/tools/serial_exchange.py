"""The exchange of workers in one process: what comes to a receiver comes in another order than it was sent."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tests.tools.datasets import SerialEngine


class SerialExchange(SerialEngine):
    """An ExchangingEngine for tests of what is exchanged."""

    def exchange(self, send: Any, receive: Any, context: Any, *, senders: int, receivers: int) -> Iterator[Any]:
        held: dict[int, list[bytes]] = {number: [] for number in range(receivers)}
        for sender in range(senders):
            for receiver, blob in send(context, sender):
                held[receiver].append(blob)
        order = random.Random(senders).sample(range(receivers), receivers)
        for receiver in order:
            random.Random(receiver).shuffle(held[receiver])
            yield receive(context, receiver, iter(held[receiver]))
