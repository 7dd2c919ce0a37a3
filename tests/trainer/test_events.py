import json
import struct

import pytest

from packer.formats.registry import get_format
from packer.specs import FormatName
from packer.trainer.core.events import EpochEvent, JsonLines, StepEvent
from packer.trainer.core.metrics import EvaluationResult
from packer.trainer.core.tensorboard_file import TensorBoardFile, encode_event, encode_summary

STEP = StepEvent(
    time_s=1e9,
    step=300,
    epoch=2,
    loss=0.5,
    learning_rate=0.1,
    images_per_second=800.0,
    step_s=0.02,
    data_wait_s=0.25,
    memory_bytes=1 << 30,
)
EPOCH = EpochEvent(
    time_s=1e9,
    step=400,
    epoch=2,
    loss=0.5,
    images_per_second=800.0,
    data_wait_s=1.0,
    evaluation=EvaluationResult(loss=0.7, accuracy=0.5, accuracy_top5=0.75, records=9, steps=1),
)


def test_events_are_lines_that_are_added(tmp_path):
    path = tmp_path / "new/events.jsonl"
    for event in (STEP, EPOCH):
        writer = JsonLines(str(path))
        writer.put(event)
        writer.close()
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["event"], first["step"], first["loss"]) == ("step", 300, 0.5)
    assert (second["event"], second["evaluation"]["accuracy_top5"]) == ("epoch", 0.75)


def test_an_event_is_encoded_as_its_message_says():
    """By hand: fields 1 (double), 2 (varint 300 = 0xac 0x02) and 5; in it field 1, of a tag and a float."""
    value = b"\x0a\x01a\x15" + struct.pack("<f", 0.5)
    summary = b"\x0a" + bytes((len(value),)) + value
    assert encode_summary({"a": 0.5}) == summary
    assert encode_event(2.0, 300, b"rest") == b"\x09" + struct.pack("<d", 2.0) + b"\x10\xac\x02rest"


def write_all(folder):
    writer = TensorBoardFile(str(folder), time_s=1e9)
    writer.put(STEP)
    writer.put(EPOCH)
    writer.close()
    (path,) = folder.iterdir()
    return path


def test_the_file_of_tensorboard_is_one_of_records(tmp_path):
    path = write_all(tmp_path)
    assert path.name.startswith("events.out.tfevents.1000000000.")
    with path.open("rb") as stream:
        payloads = [
            bytes(record.payload) for record in get_format(FormatName.TFRECORD).iter_stream(stream, name=path.name)
        ]
    assert len(payloads) == 3
    assert b"brain.Event:2" in payloads[0]
    assert b"train/loss" in payloads[1]
    assert b"eval/accuracy_top5" in payloads[2]


@pytest.mark.tensorflow
@pytest.mark.slow
def test_tensorflow_reads_what_is_written_for_tensorboard(tmp_path):
    tf = pytest.importorskip("tensorflow")
    events = list(tf.compat.v1.train.summary_iterator(str(write_all(tmp_path))))
    assert events[0].file_version == "brain.Event:2"
    scalars = {value.tag: (event.step, value.simple_value) for event in events for value in event.summary.value}
    assert scalars["train/loss"] == (300, 0.5)
    assert scalars["eval/accuracy"] == (400, 0.5)
