import contextlib

import pytest

from packer.errors import MissingExtraError, OptionsError

with contextlib.suppress(ImportError):
    import torch
with contextlib.suppress(MissingExtraError):
    from packer.trainer.torch.model_names import make_model

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _torch():
    pytest.importorskip("torch")


PARAMETERS = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032}
"""Of 1,000 classes, as torchvision's documentation of these models says."""


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_have_the_parameters_that_are_published(name):
    model = make_model(name, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


def test_names_are_those_of_torchvision():
    """Some that its state dicts have; the whole list is compared where torchvision is installed."""
    shapes = {name: tuple(value.shape) for name, value in make_model("resnet50", 10).state_dict().items()}
    assert shapes["conv1.weight"] == (64, 3, 7, 7)
    assert shapes["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert shapes["layer1.0.downsample.1.running_var"] == (256,)
    assert shapes["layer4.2.conv3.weight"] == (2048, 512, 1, 1)
    assert shapes["fc.bias"] == (10,)
    assert not [name for name in shapes if name.startswith("layer1.1.downsample")]


@pytest.mark.may_skip
@pytest.mark.parametrize("name", PARAMETERS)
def test_state_dicts_fit_those_of_torchvision(name):
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision cannot be loaded: {error}")
    ours, theirs = make_model(name, 10).state_dict(), torchvision.models.get_model(name, num_classes=10).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


def test_a_function_makes_a_model():
    assert make_model("tests.trainer.batch_norm_torch:build", 7)(torch.zeros(2, 3, 16, 16)).shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet51", "nowhere:build", "math:nothing", "math:sqrt", ":"])
def test_what_is_no_model_is_refused(name):
    with pytest.raises(OptionsError, match="`model`: expected "):
        make_model(name, 7)
