import pytest

from packer.compared_settings import parse_machine, parse_settings
from packer.errors import OptionsError

PLACES = {"source": "in", "dest": "out"}


def test_every_combination_in_the_order_given() -> None:
    settings = parse_settings(["size=224,256", "quality=85,95"], PLACES)
    assert [each.name for each in settings] == [
        "size 224, quality 85", "size 224, quality 95", "size 256, quality 85", "size 256, quality 95",
    ]  # fmt: skip
    assert [(each.options.resize, each.options.quality) for each in settings[:2]] == [("224", 85), ("224", 95)]
    assert parse_settings(["size=224,256 quality=85,95"], PLACES) == settings
    assert [each.options.shard_size for each in parse_settings(["shard-size=10MB,20MB"], PLACES)] == ["10MB", "20MB"]


@pytest.mark.parametrize(
    ("compared", "message"),
    [
        (["224,256"], "`compare`: expected NAME=VALUE,VALUE,..., such as size=224,256, got '224,256'"),
        (["size=224,"], "`compare`: expected NAME=VALUE,VALUE,..., such as size=224,256, got 'size=224,'"),
        (["qualty=85"], "`compare`: qualty: cannot be compared; did you mean quality?"),
        (["seed=1,2"], "`compare`: seed: cannot be compared; did you mean"),
        (["size=224", "resize=256"], "`compare`: expected each name once, got resize twice"),
        (["size=big"], "`resize`: expected N or WxH in pixels"),
        (["quality=85,101"], "`quality`: expected a whole number from 1 to 100, got '101'"),
        ([f"size={','.join(map(str, range(100, 137)))}"], "`compare`: expected at most 36 settings, got 37"),
    ],
)
def test_wrong_settings(compared: list[str], message: str) -> None:
    with pytest.raises(OptionsError) as caught:
        parse_settings(compared, PLACES)
    assert str(caught.value).startswith(message.removesuffix("; did you mean"))


@pytest.mark.parametrize(
    ("text", "num_vcpus"),
    [
        ("c7i.4xlarge", 16), ("ml.c5.18xlarge", 72), ("m6g.large", 2), ("p5.48xlarge", 192), ("r5.xlarge", 4),
        ("c4.8xlarge", 36), ("10dpu", 40), ("10 DPU".replace(" ", ""), 40), ("64vcpus", 64),
    ],
)  # fmt: skip
def test_vcpus_of_machines(text: str, num_vcpus: int) -> None:
    assert parse_machine(text).num_vcpus == num_vcpus


@pytest.mark.parametrize("text", ["c7i", "t3.large", "hpc6a.48xlarge", "mac2.metal", "0dpu", "big", "c7i.metal-24xl"])
def test_machines_whose_vcpus_are_not_known(text: str) -> None:
    with pytest.raises(OptionsError, match="`on`: expected an instance type of EC2 or SageMaker, such as c7i.4xlarge"):
        parse_machine(text)
