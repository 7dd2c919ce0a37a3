import pytest

from packer.errors import OptionsError
from packer.trainer.core.devices import Device, choose_gpu, find_device
from packer.trainer.core.world import World


def found(gpu, environ):
    return find_device(gpu, environ, library="PyTorch", remedy="install another")


@pytest.mark.parametrize(
    ("gpus", "local_rank", "chosen"),
    [("abcd", 0, "a"), ("abcd", 2, "c"), ("a", 3, "a")],  # the last: a launcher that shows each rank its own
)
def test_choose_gpu(gpus, local_rank, chosen):
    assert choose_gpu(gpus, World(rank=4 + local_rank, local_rank=local_rank, size=8, local_size=4)) == chosen


def test_more_ranks_than_gpus_are_refused():
    with pytest.raises(OptionsError, match="at most one rank for each of the 2 GPUs of this host, got 4 ranks"):
        choose_gpu("ab", World(rank=1, local_rank=1, size=8, local_size=4))


@pytest.mark.parametrize(
    ("device", "name", "is_suspicious"),
    [
        (Device(gpu="NVIDIA A10G", nvidia_file="/dev/nvidia0"), "NVIDIA A10G", False),
        (Device(nvidia_file="/dev/nvidia0", library="PyTorch"), "the CPU", True),
        (Device(nvidia_file="/dev/nvidia0", is_hidden=True), "the CPU", False),
        (Device(), "the CPU", False),
    ],
)
def test_a_gpu_that_nobody_uses_is_suspicious(device, name, is_suspicious):
    assert device.name == name
    assert ("(/dev/nvidia0), but PyTorch sees no GPU" in device.warning) is is_suspicious


@pytest.mark.parametrize(
    ("hiding", "is_hidden"), [(None, False), ("", True), ("-1", True), ("0", False), ("0,1", False)]
)
def test_gpus_can_be_hidden_on_purpose(hiding, is_hidden):
    environ = {} if hiding is None else {"CUDA_VISIBLE_DEVICES": hiding}
    assert found("", environ).is_hidden is is_hidden
    assert found("NVIDIA A10G", environ).gpu == "NVIDIA A10G"


def test_the_files_of_an_nvidia_device_are_found(monkeypatch, tmp_path):
    (tmp_path / "nvidiactl").touch()
    files = (str(tmp_path / "nvidia0"), str(tmp_path / "nvidiactl"))
    monkeypatch.setattr("packer.trainer.core.devices._NVIDIA_FILES", files)
    assert found("", {}).nvidia_file == files[1]
