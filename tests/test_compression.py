import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from common import variants
from common.compression import (
    chain,
    finetuning,
    quantization,
    verification,
    wrappers,
)
from common.compression.finetuning import Finetuning
from common.data.splits import MemorySplit
from common.keras2 import bridge
from common.options import InputError
from common.shared_options import Options

TINY = Options(batch_size=8, finetune_epochs=1, sparsity=0.5, num_clusters=4)


def transform(features, labels, seed=None):
    return features, tf.one_hot(labels, 3)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Rescaling(0.5)(x)  # TF-MOT does not list it.
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(3)(x)
    model = keras.Model(image, keras.layers.Softmax()(x))
    model.compile("adam", "categorical_crossentropy")
    return model


@pytest.fixture(scope="module")
def split() -> MemorySplit:
    rng = np.random.default_rng(0)
    images = rng.random((64, 8, 8, 1), np.float32)
    return MemorySplit(images, rng.integers(0, 3, 64))


def kernels(twin: tf_keras.Model) -> list[np.ndarray]:
    return [w.numpy() for w in twin.trainable_weights if "kernel" in w.name]


def test_every_combination_does_what_it_says(model, split) -> None:
    wanted = variants.parse(
        ["prune+int8", "prune+cluster+int8", "cluster+int8", "qat"]
    )
    possible, refused = chain.plan(model, wanted)
    assert possible == wanted and not refused
    before = [weight.numpy() for weight in model.weights]
    settings = Finetuning(split, transform, TINY)
    twins = chain.compress(model, possible, settings)
    for kernel in kernels(twins[("prune",)]):
        assert np.mean(kernel == 0) >= 0.5 - 1 / kernel.size
    for kernel in kernels(twins[("prune", "cluster")]):
        assert np.mean(kernel == 0) >= 0.5 - 1 / kernel.size
        assert len(np.unique(kernel)) <= 5
    for kernel in kernels(twins[("cluster",)]):
        assert len(np.unique(kernel)) <= 4
    assert any("quant" in layer.name for layer in twins[("qat",)].layers)
    # The twins are fine-tuned, and the user's model is unchanged.
    assert not np.allclose(
        kernels(twins[("cluster",)])[0], kernels(twins[()])[0]
    )
    for array, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(array, weight.numpy())


@pytest.mark.slow
def test_separable_convolutions_are_split_and_quantized(split) -> None:
    layers, image = keras.layers, keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same", name="conv2d_1")(image)
    beside = layers.Conv2D(4, 1, name="conv2d")(x)
    x = layers.SeparableConv2D(4, 3, padding="same", use_bias=False)(x)
    x = layers.Add()([layers.BatchNormalization()(x), beside])
    x = layers.Dense(3)(layers.Flatten()(x))
    model = keras.Model(image, layers.Softmax()(x))
    model.compile("adam", "categorical_crossentropy")
    possible, refused = chain.plan(model, variants.parse(["prune+qat"]), TINY)
    assert not refused
    settings = Finetuning(split, transform, TINY)
    twins = chain.compress(model, possible, settings)
    wrapped = twins[("prune", "qat")]
    names = [layer.name for layer in wrapped.layers]
    assert len(names) == len(set(names))
    assert "quant_depthwise_conv2d" in " ".join(names)
    pruned = [w for w in wrapped.weights if w.name.endswith("/kernel:0")]
    assert len(pruned) == 4  # TF-MOT prunes no depthwise kernel.
    for kernel in pruned:
        assert np.mean(kernel.numpy() == 0) >= 0.5 - 1 / np.size(kernel)
    plain, compressed = (
        twins[techniques].predict(split.features, verbose=0)
        for techniques in ((), ("prune", "qat"))
    )
    assert np.abs(plain - compressed).mean() < 0.1


@pytest.mark.parametrize(
    "relu",
    [keras.layers.ReLU, pytest.param("activation", marks=pytest.mark.slow)],
)
def test_kernels_before_a_relu_are_quantized_and_stay_sparse(
    split, relu
) -> None:
    layers, image = keras.layers, keras.Input((8, 8, 1))
    rectify = relu if callable(relu) else lambda: layers.Activation("relu")
    x = rectify()(layers.Conv2D(8, 3)(image))
    x = rectify()(layers.Dense(8)(layers.Flatten()(x)))
    model = keras.Model(image, layers.Dense(3, "softmax")(x))
    model.compile("adam", "categorical_crossentropy")
    wanted = variants.parse(["prune+qat", "prune+cluster+qat"])
    settings = Finetuning(split, transform, TINY)
    twins = chain.compress(model, wanted, settings)
    for before in (("prune",), ("prune", "cluster")):
        base, twin = twins[before], twins[(*before, "qat")]
        limits = [w.name for w in twin.weights if "kernel_min" in w.name]
        assert len(limits) == 3
        for old, new in zip(kernels(base), kernels(twin), strict=True):
            np.testing.assert_array_equal(old == 0, new == 0)
        with pytest.raises(RuntimeError, match="filled zeros"):
            verification.verify(
                twins[("prune",)], bridge.to_tf_keras(empty(model)),
                ("prune", "qat"), TINY,
            )  # fmt: skip


@pytest.mark.slow
def test_an_activation_before_batch_normalization_is_no_refusal(split) -> None:
    layers, image = keras.layers, keras.Input((8, 8, 1))
    x = layers.BatchNormalization()(
        layers.Conv2D(4, 3, activation="relu")(image)
    )
    x = layers.Dense(8, activation="relu")(layers.Flatten()(x))
    x = layers.Dense(3)(layers.BatchNormalization()(x))
    model = keras.Model(image, layers.Softmax()(x))
    model.compile("adam", "categorical_crossentropy")
    wanted = variants.parse(["qat", "prune+qat"])
    possible, refused = chain.plan(model, wanted, TINY)
    assert possible == wanted and not refused
    settings = Finetuning(split, transform, TINY)
    twin = chain.compress(model, possible, settings)[("qat",)]
    kinds = {type(layer).__name__ for layer in twin.layers}
    assert "BatchNormalization" in kinds  # Left in float.
    limits = [w.name for w in twin.weights if "kernel_min" in w.name]
    assert len(limits) == 3


def empty(model: keras.Model) -> keras.Model:
    """Returns a copy of a model with all weights zero."""
    copy = keras.models.clone_model(model)
    copy.set_weights([np.zeros_like(array) for array in model.get_weights()])
    return copy


def test_fine_tuning_is_repeatable(model, split) -> None:
    wanted = variants.parse(["prune+float32"])
    settings = Finetuning(split, transform, TINY)
    first, second = (
        chain.compress(model, wanted, settings)[("prune",)] for _ in range(2)
    )
    for expected, kernel in zip(kernels(first), kernels(second), strict=True):
        np.testing.assert_array_equal(expected, kernel)


def test_only_the_layers_named_are_pruned(model, split) -> None:
    name = model.layers[-2].name
    settings = Finetuning(split, transform, TINY.replace(prune_layers=(name,)))
    wanted = variants.parse(["prune+float32"])
    twin = chain.compress(model, wanted, settings)[("prune",)]
    convolution, dense = kernels(twin)
    assert np.mean(dense == 0) >= 0.49 and np.mean(convolution == 0) < 0.1


def test_an_unknown_layer_is_refused(model) -> None:
    options = TINY.replace(prune_layers=("nothing",))
    with pytest.raises(InputError, match="nothing is none of"):
        wrappers.wrap(bridge.to_tf_keras(model), ("prune",), 10, options)


def test_fine_tuning_that_diverges_is_refused_in_one_line(model, split) -> None:
    def diverging_loss(targets, outputs):
        return tf.reduce_sum(outputs) * np.nan

    settings = Finetuning(split, transform, TINY, diverging_loss)
    wanted = variants.parse(["prune+float32"])
    with pytest.raises(InputError, match=r"prune.*--finetune_learning_rate"):
        chain.compress(model, wanted, settings)


def test_a_layer_without_a_kernel_is_refused(model) -> None:
    (name,) = (
        layer.name for layer in model.layers
        if isinstance(layer, keras.layers.Flatten)
    )  # fmt: skip
    options = TINY.replace(prune_layers=(name,))
    with pytest.raises(InputError, match=r"with a kernel; .* \(Flatten\) has"):
        wrappers.wrap(bridge.to_tf_keras(model), ("prune",), 10, options)


def test_a_large_number_in_a_layers_name_is_no_count() -> None:
    start = int(tf_keras.layers.Conv2D(1, 1).name.rpartition("_")[2] or 0)
    names = ["conv2d_999999999", "conv2d_3000000", f"conv2d_{start + 3}"]
    layers = [tf_keras.layers.Conv2D(1, 1, name=name) for name in names]
    twin = tf_keras.Sequential([tf_keras.Input((4, 4, 1)), *layers])
    quantization.reserve_names(twin)
    number = int(tf_keras.layers.Conv2D(1, 1).name.rpartition("_")[2])
    assert start + 3 < number < 3_000_000


def test_verification_finds_missing_zeros_and_clusters(model) -> None:
    twin = bridge.to_tf_keras(model)
    wrapped = wrappers.prune(bridge.to_tf_keras(model), 10, TINY)
    dense = wrappers.strip(wrapped, "prune")
    with pytest.raises(RuntimeError, match="only 0 of"):
        verification.verify(dense, twin, ("prune",), TINY)
    with pytest.raises(RuntimeError, match="values are left"):
        verification.verify(twin, twin, ("cluster",), TINY)


def sparse_twin(model: keras.Model) -> tf_keras.Model:
    """Returns a twin whose kernels are zero but for every tenth weight."""
    twin = bridge.to_tf_keras(model)
    for kernel in (w for w in twin.trainable_weights if w.shape.rank > 1):
        kept = np.arange(kernel.numpy().size).reshape(kernel.shape) % 10 == 0
        kernel.assign(kernel.numpy() * kept)
    return twin


def test_few_weights_get_few_clusters(model) -> None:
    # The convolution has 36 weights, of which 4 are not zero: too few to
    # cluster. TF-MOT's k-means cannot place 16 clusters in so few weights.
    wrapped = wrappers.cluster(sparse_twin(model), 16, preserve_sparsity=True)
    stripped = wrappers.strip(wrapped, "cluster")
    for kernel in kernels(stripped):
        assert np.mean(kernel == 0) >= 0.89
        assert len(np.unique(kernel)) <= 17


def test_filled_zeros_are_found(model) -> None:
    sparse, dense = sparse_twin(model), bridge.to_tf_keras(model)
    options = TINY.replace(num_clusters=1000)
    with pytest.raises(RuntimeError, match="filled zeros"):
        verification.verify(dense, sparse, ("prune", "cluster"), options)


def test_depthwise_kernels_are_left_as_tf_mot_leaves_them(split) -> None:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            keras.layers.Conv2D(4, 3),
            keras.layers.DepthwiseConv2D(3),
            keras.layers.Flatten(),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    model.compile("adam", "categorical_crossentropy")
    wanted = variants.parse(["prune+cluster+int8"])
    settings = Finetuning(split, transform, TINY)
    twin = chain.compress(model, wanted, settings)[("prune", "cluster")]
    convolution, depthwise, dense = kernels(twin)
    assert np.mean(depthwise == 0) == 0
    assert np.mean(convolution == 0) >= 0.45 and np.mean(dense == 0) >= 0.45


def test_distillation_mixes_the_teacher_into_the_targets(model, split) -> None:
    teacher = bridge.to_tf_keras(model)
    images = split.features[:4]
    hard = np.eye(3, dtype=np.float32)[split.labels[:4]]
    batches = tf.data.Dataset.from_tensors((images, hard))
    ((_, mixed),) = finetuning.distilled(batches, teacher, 0.25)
    expected = 0.75 * hard + 0.25 * teacher(images, training=False).numpy()
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)


def test_scales_without_a_kernel_are_left_in_float() -> None:
    inputs = keras.Input((6,), name="x")
    x = keras.layers.LayerNormalization(name="norm")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="out")(x))
    twin = quantization.quantize(bridge.to_tf_keras(model), ())
    names = [layer.name for layer in twin.layers]
    assert "norm" in names and "quant_out" in names
    tokens = keras.Input((6,), dtype="int32", name="tokens")
    words = keras.layers.Embedding(4, 2)(tokens)
    model = keras.Model(tokens, keras.layers.Flatten()(words))
    with pytest.raises(RuntimeError, match="tokens is int32"):
        wrappers.wrap(bridge.to_tf_keras(model), ("qat",), 10, TINY)


@pytest.mark.slow
def test_both_directions_of_an_lstm_are_clustered_and_stay_sparse() -> None:
    model = keras.Sequential(
        [
            keras.Input((5, 8), name="x"),
            keras.layers.Bidirectional(keras.layers.LSTM(8)),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    model.compile("adam", "categorical_crossentropy")
    rng = np.random.default_rng(0)
    rows = MemorySplit(
        rng.random((32, 5, 8), np.float32), rng.integers(0, 3, 32)
    )

    def one_hot(x, labels, seed):
        return x, tf.one_hot(labels, 3)

    wanted = variants.parse(["prune+cluster+float32"])
    settings = Finetuning(rows, one_hot, TINY)
    twin = chain.compress(model, wanted, settings)[("prune", "cluster")]
    lstm_kernels = [k for k in kernels(twin) if k.shape[-1] == 32]
    assert len(lstm_kernels) == 4
    for kernel in lstm_kernels:
        assert np.mean(kernel == 0) >= 0.49
        assert len(np.unique(kernel)) <= TINY.num_clusters + 1
