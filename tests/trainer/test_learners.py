"""What Keras' and MXNet's learners do alike, each as one process; `test_torch_learner.py` is PyTorch's."""

import json

import numpy as np
import pytest

from packer.dataset.manifest import PixelStatistics
from packer.errors import OptionsError
from packer.trainer.core.feed import ArrayBatch
from packer.trainer.core.framework import ModelSpec, StepOrder
from packer.trainer.core.recipe import Optimizer, Precision, Recipe
from packer.trainer.core.world import Launcher, World
from packer.trainer.frameworks import open_framework

pytestmark = pytest.mark.slow

NUM_CLASSES, IMAGE_PX = 7, 16
MEAN, STD = 120.0, 60.0
LIBRARIES = {"keras": "tensorflow", "mxnet": "mxnet"}
NETWORKS = {"keras": "tests.trainer.batch_norm_keras:build", "mxnet": "tests.trainer.batch_norm_gluon:build"}
FRAMEWORKS = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in LIBRARIES]


@pytest.fixture(params=FRAMEWORKS)
def framework(request, monkeypatch):
    pytest.importorskip(LIBRARIES[request.param])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    return request.param


def make_learner(framework, *, seed=0, **recipe):
    spec = ModelSpec(
        recipe=Recipe(**{"model": NETWORKS[framework], "image_size": IMAGE_PX} | recipe),
        num_classes=NUM_CLASSES,
        pixels=PixelStatistics(mean=(MEAN,) * 3, std=(STD,) * 3),
        seed=seed,
    )
    return open_framework(framework, World(), "").build(spec)


def make_batch(seed=0, size=6):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, NUM_CLASSES, size)
    images = generator.integers(0, 256, (size, IMAGE_PX, IMAGE_PX, 3), np.uint8)
    images[:, :4, :4] = labels[:, None, None, None] * 30
    return ArrayBatch(images=images, labels=labels, weights=np.ones(size, np.float32))


def train(learner, steps, first=0):
    return [
        learner.step([make_batch(step % 3)], StepOrder(learning_rate=0.05, seeds=(step,))).read().loss
        for step in range(first, first + steps)
    ]


RECIPES = [
    *((name, {}) for name in LIBRARIES),
    *((name, {"model": "small", "label_smoothing": 0.1, "weight_decay": 1e-3}) for name in LIBRARIES),
    ("keras", {"optimizer": Optimizer.ADAMW, "learning_rate": 0.01, "weight_decay": 0.1}),
    ("keras", {"precision": Precision.BF16, "ema": 0.9}),
    ("keras", {"precision": Precision.FP16}),
]


@pytest.mark.parametrize(
    ("framework", "recipe"),
    [pytest.param(*case, marks=getattr(pytest.mark, case[0]), id=f"{case[0]} {case[1]}") for case in RECIPES],
    indirect=["framework"],
)
def test_every_recipe_learns_and_goes_on_from_its_state(framework, recipe):
    learner = make_learner(framework, **recipe)
    losses = train(learner, 6)
    other = make_learner(framework, seed=1, **recipe)
    other.load(learner.save())
    assert train(other, 6, 6) == (later := train(learner, 6, 6))
    assert sum(later) < sum(losses)
    assert other.evaluate([make_batch()]) == learner.evaluate([make_batch()])


def test_a_step_takes_the_mean_over_its_batches_and_brings_marks_back(framework):
    learner, other = (make_learner(framework, model="small") for _ in range(2))
    halves = [make_batch(0), make_batch(1)]
    both = ArrayBatch(
        images=np.concatenate([half.images for half in halves]),
        labels=np.concatenate([half.labels for half in halves]),
        weights=np.concatenate([half.weights for half in halves]),
    )
    numbers = learner.step(halves, StepOrder(learning_rate=0.05, seeds=(0, 1), stop=True)).read()
    expected = other.step([both], StepOrder(learning_rate=0.05, seeds=(0,), save=True)).read()
    assert (numbers.stop, numbers.save, expected.stop, expected.save) == (True, False, False, True)
    assert numbers.loss == pytest.approx(expected.loss, rel=1e-5)
    for ours, theirs in zip(learner.model_parameters(), other.model_parameters(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_evaluation_counts_each_record_by_its_weight(framework):
    learner = make_learner(framework)
    whole, padded = make_batch(), make_batch()
    padded.weights[4:] = 0
    sums = learner.evaluate([padded])
    assert (learner.evaluate([whole]).records, sums.records) == (6, 4)
    assert 0 <= sums.correct <= sums.correct_top5 <= 4
    first = ArrayBatch(images=whole.images[:4], labels=whole.labels[:4], weights=whole.weights[:4])
    assert sums.loss == pytest.approx(learner.evaluate([first]).loss, rel=1e-5)


def test_what_is_no_state_of_this_model_is_refused(framework):
    learner = make_learner(framework)
    for content in (b"", b"no archive", b"PK\x03\x04torn"):
        with pytest.raises(ValueError, match="it cannot be read"):
            learner.load(content)
    with pytest.raises(ValueError, match="of this model and optimizer, found others"):
        learner.load(make_learner(framework, model="small").save())


def test_models_have_names(framework):
    with pytest.raises(OptionsError, match="`model`: expected small, module:function, or .* got 'alexander'"):
        make_learner(framework, model="alexander")
    learner = make_learner(framework, model="resnet50", image_size=32)
    assert sum(array.size for array in learner.model_parameters()) > 20_000_000


def test_horovod_is_the_only_way_between_ranks(framework):
    world = World(rank=0, local_rank=0, size=2, local_size=2, launcher=Launcher.TORCHRUN)
    with pytest.raises(OptionsError, match="launcher: expected horovodrun or mpirun for .* got torchrun"):
        open_framework(framework, world, "")
    with pytest.raises(OptionsError, match="`collective`: expected horovod for .* got 'ddp'"):
        open_framework(framework, World(), "ddp")


@pytest.mark.keras
def test_a_step_of_float16_that_overflows_is_not_taken():
    pytest.importorskip("tensorflow")
    learner = make_learner("keras", precision=Precision.FP16)
    learner._scale.value.assign(3e38)
    before = [array.copy() for array in learner.model_parameters()]
    train(learner, 1)
    assert all((array == kept).all() for array, kept in zip(learner.model_parameters(), before, strict=True))
    assert float(learner._scale.value) == pytest.approx(1.5e38)


@pytest.mark.keras
def test_a_running_mean_is_evaluated_in_the_place_of_the_parameters():
    pytest.importorskip("tensorflow")
    learner, plain = make_learner("keras", ema=0.5), make_learner("keras")
    train(learner, 5)
    train(plain, 5)
    assert learner.evaluate([make_batch()]) != plain.evaluate([make_batch()])
    assert train(learner, 2) == train(plain, 2)
    for own, mean in zip(learner._trained, learner._mean.variables, strict=False):
        own.assign(mean)
    ours = learner.evaluate([make_batch()])
    assert ours != plain.evaluate([make_batch()])


def test_the_first_steps_can_be_profiled(framework, tmp_path):
    opened = open_framework(framework, World(), "")
    with opened.tracing(str(tmp_path)):
        train(make_learner(framework), 2)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix in (".json", ".pb") and path.stat().st_size > 1000 for path in files), files


def test_what_is_exported_takes_pictures_as_they_are(framework, tmp_path):
    learner = make_learner(framework)
    train(learner, 3)
    learner.export(str(tmp_path))
    batch = make_batch()
    logits = {"keras": serve_saved_model, "mxnet": serve_symbol}[framework](tmp_path, batch.images)
    scores = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(6), batch.labels]
    assert float(losses.sum()) == pytest.approx(learner.evaluate([batch]).loss, rel=1e-4)


def serve_saved_model(folder, images):
    """As TensorFlow Serving does: by the signature alone."""
    tf = pytest.importorskip("tensorflow")
    served = tf.saved_model.load(str(folder / "1")).signatures["serving_default"]
    return served(images=tf.constant(images))["logits"].numpy()


def serve_symbol(folder, images):
    """As a server of MXNet does: from the two files, without the code of the model."""
    mxnet = pytest.importorskip("mxnet")
    assert json.loads((folder / "model-symbol.json").read_text())["nodes"]
    block = mxnet.gluon.SymbolBlock.imports(
        str(folder / "model-symbol.json"), ["data"], str(folder / "model-0000.params")
    )
    return block(mxnet.nd.array(images, dtype="uint8")).asnumpy()
