import contextlib

import numpy as np
import pytest

from packer.dataset.manifest import PixelStatistics
from packer.errors import MissingExtraError
from packer.trainer.core.feed import ArrayBatch
from packer.trainer.core.framework import ModelSpec, StepOrder
from packer.trainer.core.recipe import Optimizer, Precision, Recipe

with contextlib.suppress(ImportError):
    import torch
with contextlib.suppress(MissingExtraError):
    from packer.trainer.torch.torch_learner import EXPORT_NAME, SCRIPT_NAME, TorchLearner, build_optimizer
    from packer.trainer.torch.torch_ranks import SoloRanks

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _torch():
    pytest.importorskip("torch")


NUM_CLASSES = 7
MODEL = "tests.trainer.batch_norm_torch:build"


def make_learner(*, seed=0, **recipe):
    spec = ModelSpec(
        recipe=Recipe(**{"model": MODEL, "image_size": 16} | recipe),
        num_classes=NUM_CLASSES,
        pixels=PixelStatistics(mean=(120.0,) * 3, std=(60.0,) * 3),
        seed=seed,
    )
    return TorchLearner(spec, SoloRanks(), torch.device("cpu"))


def make_batch(seed=0, size=6):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, NUM_CLASSES, size)
    images = generator.integers(0, 256, (size, 16, 16, 3), np.uint8)
    images[:, 0, 0] = labels[:, None] * 30
    weights = np.ones(size, np.float32)
    return ArrayBatch(images=images, labels=labels, weights=weights)


def order(seed=0, rate=0.05, **marks):
    return StepOrder(learning_rate=rate, seeds=(seed, seed + 1), **marks)


def train(learner, steps, first=0):
    return [learner.step([make_batch(step % 3)], order(step)).read().loss for step in range(first, first + steps)]


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"optimizer": Optimizer.ADAMW, "learning_rate": 0.01},
        {"precision": Precision.BF16},
        {"precision": Precision.FP16},
        {"channels_last": False},
        {"ema": 0.9},
        {"label_smoothing": 0.1, "weight_decay": 1e-4},
    ],
    ids=str,
)
def test_every_recipe_learns_and_goes_on_from_its_state(recipe):
    learner = make_learner(**recipe)
    losses = train(learner, 6)
    other = make_learner(seed=1, **recipe)
    other.load(learner.save())
    assert train(other, 6, 6) == (later := train(learner, 6, 6))
    assert sum(later) < sum(losses)
    assert other.evaluate([make_batch()]) == learner.evaluate([make_batch()])


def test_marks_come_back_with_the_loss():
    learner = make_learner()
    pending = learner.step([make_batch(0), make_batch(1)], order(stop=True))
    numbers = pending.read()
    assert (numbers.stop, numbers.save) == (True, False)
    numbers = learner.step([make_batch(0)], order(save=True)).read()
    assert (numbers.stop, numbers.save) == (False, True)


def test_marks_are_no_parameters_of_the_model():
    learner = make_learner()
    before = {name for name, _ in learner._model.named_parameters()}
    train(learner, 2)
    assert b"riders" not in learner.save()
    assert not [name for name in before if "rider" in name]


def test_the_loss_is_the_mean_over_accumulated_batches():
    """By PyTorch alone: the same network, with the running statistics of neither in the way."""
    learner = make_learner(model="small")
    model = learner._model
    expected = []
    with torch.no_grad():
        for seed in (0, 1):
            batch = make_batch(seed)
            images = (torch.from_numpy(batch.images).permute(0, 3, 1, 2).float() - 120) / 60
            expected.append(float(torch.nn.functional.cross_entropy(model(images), torch.from_numpy(batch.labels))))
    found = learner.step([make_batch(0), make_batch(1)], order()).read().loss
    assert found == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_evaluation_counts_each_record_by_its_weight():
    learner = make_learner()
    whole, padded = make_batch(size=6), make_batch(size=6)
    padded.weights[4:] = 0
    assert learner.evaluate([whole]).records == 6
    sums = learner.evaluate([padded])
    assert sums.records == 4
    assert 0 <= sums.correct <= sums.correct_top5 <= 4
    first = ArrayBatch(images=whole.images[:4], labels=whole.labels[:4], weights=whole.weights[:4])
    assert sums.loss == pytest.approx(learner.evaluate([first]).loss, rel=1e-5)


def test_a_running_mean_is_evaluated_in_the_place_of_the_parameters():
    learner = make_learner(ema=0.5)
    train(learner, 5)
    learner.average()
    own = make_learner(seed=3)
    own._model.load_state_dict(learner._model.state_dict())
    assert own.evaluate([make_batch()]) != learner.evaluate([make_batch()])
    own._model.load_state_dict(learner._ema.module.state_dict())
    assert own.evaluate([make_batch()]) == learner.evaluate([make_batch()])


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04torn"])
def test_what_is_no_state_is_refused(content):
    with pytest.raises(ValueError, match="."):
        make_learner().load(content)


def test_the_state_of_another_model_is_refused():
    with pytest.raises(ValueError, match=r"state_dict|size mismatch|Missing key"):
        make_learner(model="small").load(make_learner().save())


def test_biases_and_normalisation_do_not_decay():
    decayed, others = build_optimizer(make_learner()._model, Recipe(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert {parameter.ndim for parameter in decayed["params"]} == {2, 4}
    assert {parameter.ndim for parameter in others["params"]} == {1}


@pytest.mark.slow
def test_what_is_exported_takes_pictures_as_they_are(tmp_path):
    learner = make_learner()
    train(learner, 3)
    learner.export(str(tmp_path))
    batch = make_batch()
    pictures = torch.from_numpy(batch.images).permute(0, 3, 1, 2).contiguous()
    for served in (torch.export.load(tmp_path / EXPORT_NAME).module(), torch.jit.load(tmp_path / SCRIPT_NAME)):
        with torch.no_grad():
            logits = served(pictures)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch.labels), reduction="sum")
        assert float(loss) == pytest.approx(learner.evaluate([batch]).loss, rel=1e-4)
    assert "0.weight" in torch.load(tmp_path / "model.pt", weights_only=True)
