"""Scalars for TensorBoard, written without its package: a TFRecord file in which each record is one Event message.

    Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
    Summary { repeated Value value = 1; }     Value { string tag = 1; float simple_value = 2; }

Source: tensorboard/compat/proto/event.proto and summary.proto. The first event has the file version ``brain.Event:2``.
"""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Mapping
from typing import BinaryIO

from packer.formats.tfrecord import frame_record
from packer.trainer.core.events import EpochEvent, Event, StepEvent, open_log

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class TensorBoardFile:
    """One file of events in a folder."""

    def __init__(self, folder: str, *, time_s: float) -> None:
        """Args: time_s: start time in seconds since 1970; part of the file's name, by which TensorBoard sorts."""
        name = f"events.out.tfevents.{int(time_s):010d}.{platform.node()}.{os.getpid()}"
        self._file: BinaryIO = open_log(os.path.join(folder, name))
        self._write(encode_event(time_s, 0, _field(3, b"brain.Event:2")))

    def put(self, event: Event) -> None:
        scalars = list_scalars(event)
        if scalars and isinstance(event, StepEvent | EpochEvent):
            self._write(encode_event(event.time_s, event.step, _field(5, encode_summary(scalars))))

    def close(self) -> None:
        self._file.close()

    def _write(self, payload: bytes) -> None:
        self._file.writelines(frame_record(payload))
        self._file.flush()


def list_scalars(event: Event) -> dict[str, float]:
    """Return the scalars of an event by tag; empty if TensorBoard shows nothing of it."""
    if isinstance(event, StepEvent):
        return {
            "train/loss": event.loss,
            "train/learning_rate": event.learning_rate,
            "speed/images_per_second": event.images_per_second,
            "speed/step_s": event.step_s,
            "speed/data_wait_s": event.data_wait_s,
            "memory/bytes": float(event.memory_bytes),
        }
    if isinstance(event, EpochEvent) and event.evaluation:
        return {
            "eval/loss": event.evaluation.loss,
            "eval/accuracy": event.evaluation.accuracy,
            "eval/accuracy_top5": event.evaluation.accuracy_top5,
        }
    return {}


def encode_summary(scalars: Mapping[str, float]) -> bytes:
    """Return a Summary message with one Value for each scalar."""
    values = (_field(1, tag.encode()) + _tag(2, _FIXED32) + struct.pack("<f", value) for tag, value in scalars.items())
    return b"".join(_field(1, value) for value in values)


def encode_event(time_s: float, step: int, content: bytes) -> bytes:
    """Return an Event message; `content` is its encoded file_version or summary field."""
    return _tag(1, _FIXED64) + struct.pack("<d", time_s) + _tag(2, _VARINT) + _varint(step) + content


def _field(number: int, content: bytes) -> bytes:
    return _tag(number, _BYTES) + _varint(len(content)) + content


def _tag(number: int, kind: int) -> bytes:
    return bytes((number << 3 | kind,))


def _varint(value: int) -> bytes:
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    content.append(value)
    return bytes(content)
