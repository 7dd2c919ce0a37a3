"""What only tar has: headers and their checksum, padding, members that belong together, marks at the end."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import CorruptRecordError, OptionsError
from packer.formats.container import Sample
from packer.formats.webdataset import CONTAINER, encode_header, parse_header

SAMPLE = Sample(key="a/b.jpg", encoded=b"\xff\xd8\xff" + bytes(700), image_format="jpeg", label=7)


def write(*samples: Sample) -> bytes:
    writer = CONTAINER.open_writer("train", 12)
    for position, sample in enumerate(samples):
        writer.add(sample, position)
    return b"".join(writer.finish())


def read(data: bytes, *, check: bool = True) -> list[Sample]:
    return [CONTAINER.decode_sample(r.payload) for r in CONTAINER.iter_buffer(memoryview(data), name="f", check=check)]


@given(st.text("abc-019", min_size=1, max_size=60), st.integers(0, (1 << 33) - 1))
def test_headers_are_those_of_pythons_tarfile(name: str, num_bytes: int) -> None:
    info = tarfile.TarInfo(f"{name}.jpg")
    info.size = num_bytes
    ours, theirs = encode_header(info.name, num_bytes), info.tobuf(tarfile.USTAR_FORMAT)
    found = tarfile.TarInfo.frombuf(ours, "utf-8", "strict")
    assert (found.name, found.size, found.mode, found.mtime) == (info.name, num_bytes, 0o644, 0)
    for block in (ours, theirs):
        assert parse_header(block) == (name, "jpg", num_bytes)


@given(st.integers(0, 511), st.integers(1, 255))
def test_a_changed_byte_of_a_header_is_found(at: int, change: int) -> None:
    header = bytearray(encode_header("train-00000-000000.jpg", 12345))
    header[at] ^= change
    damaged = bytes(header) + write(SAMPLE)[512:]
    try:
        found = parse_header(bytes(header))
    except ValueError:
        with pytest.raises(CorruptRecordError, match="record 0 at byte 0"):
            read(damaged)
    else:  # white space around the checksum's digits
        assert 148 <= at < 156
        assert found == ("train-00000-000000", "jpg", 12345)


def test_padding_must_be_zeros_where_that_is_checked() -> None:
    data = bytearray(write(SAMPLE))
    data[512 + 1] = 1  # behind the one digit of the class
    with pytest.raises(CorruptRecordError, match=r"zeros as padding of train-00012-000000\.cls"):
        read(bytes(data))
    assert read(bytes(data), check=False) == [SAMPLE]


def test_readers_go_on_after_any_number_of_zero_blocks_and_want_two() -> None:
    one, two = write(SAMPLE), write(SAMPLE, SAMPLE)
    assert len(read(one + bytes(10 * 512) + two)) == 3
    with pytest.raises(CorruptRecordError, match="expected 1,024 zeros as its end, got 512"):
        read(one[:-512])


def test_members_that_are_no_sample() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in (("a.jpg", b"x"), ("b.jpg", b"x"), ("b.json", b"[]"), ("c.png", b"x"), ("c.json", b"{")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    records = list(CONTAINER.iter_buffer(memoryview(data.getvalue()), name="f"))
    assert len(records) == 3
    for record, problem in zip(records, ("an image and .json, got jpg", "JSON object", "JSON object"), strict=True):
        with pytest.raises(CorruptRecordError, match=problem):
            CONTAINER.decode_sample(record.payload, name="f")
    folder = tarfile.TarInfo("folder.d")
    folder.type = tarfile.DIRTYPE
    with pytest.raises(CorruptRecordError, match="expected a regular file of the ustar format"):
        read(folder.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))


@pytest.mark.parametrize("field", [{"label": (0.5, float("nan"))}, {"extras": {"x": float("inf")}}])
def test_numbers_that_json_cannot_hold_are_refused(field: dict) -> None:
    sample = Sample(key="k", encoded=b"x", image_format="jpeg", **field)
    with pytest.raises(OptionsError, match="expected finite numbers"):
        write(sample)


def test_a_text_that_says_null_is_none_of_them() -> None:
    sample = Sample(key="null", encoded=b"x", image_format="png", extras={"x": 0.5, "y": (1, 2)})
    assert read(write(sample)) == [sample]
