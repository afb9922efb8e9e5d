"""Low rank: two layers in place of one, and the outputs that they keep."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L  # noqa: N812

from common import variants
from common.compression import chain, low_rank, output_spaces
from common.compression.finetuning import Finetuning
from common.data.splits import MemorySplit
from common.keras2 import bridge
from common.mobile import conversion, litert
from common.options import InputError
from common.shared_options import Options

TINY = Options(batch_size=16, finetune_epochs=1, sparsity=0.5, num_clusters=4)
RNG = np.random.default_rng(0)


def network() -> keras.Model:
    """Returns a network with nested, shared and recurrent layers."""
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 3), name="image")
    inner = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            L.Conv2D(16, 3, strides=2, padding="same", name="strided"),
            L.Conv2D(32, 3, dilation_rate=2, use_bias=False, name="dilated"),
            L.BatchNormalization(),
            L.ReLU(),
        ],
        name="inner",
    )
    x = L.Flatten()(inner(image))
    shared = L.Dense(64, name="shared")
    x = shared(L.Dense(64, "tanh", name="dense")(x))
    x = shared(x)
    model = keras.Model(image, L.Dense(3, "softmax", name="last")(x))
    model.compile("adam", "categorical_crossentropy")
    return model


def images(num: int = 64) -> np.ndarray:
    return RNG.random((num, 12, 12, 3), np.float32)


def spaces_of(model: keras.Model, inputs: np.ndarray) -> dict:
    return output_spaces.measure(model, low_rank.layers(model), [(inputs,)])


def test_the_largest_rank_that_saves_is_exact_where_outputs_allow_it() -> None:
    # Outputs in 3 dimensions, off the origin: two layers lose nothing.
    inputs = keras.Input((20,))
    dense = L.Dense(16, "relu", name="dense")
    model = keras.Model(inputs, dense(inputs))
    kernel = RNG.normal(size=(20, 3)) @ RNG.normal(size=(3, 16))
    dense.set_weights([kernel, RNG.normal(size=16)])
    x = RNG.normal(size=(200, 20)).astype("float32")
    split = low_rank.factorize(model, {"dense": 3}, spaces_of(model, x))
    assert [layer.name for layer in split.layers[1:]] == [
        "dense_low_rank", "dense",
    ]  # fmt: skip
    np.testing.assert_allclose(split(x), model(x), atol=1e-4)
    worse = low_rank.factorize(model, {"dense": 2}, spaces_of(model, x))
    assert np.abs(worse(x) - model(x)).max() > 0.1


def test_no_other_two_layers_keep_more_of_the_outputs() -> None:
    inputs = keras.Input((30,))
    dense = L.Dense(24, name="dense")
    model = keras.Model(inputs, dense(inputs))
    # Inputs of unequal variance: the kernel's own SVD is not the best.
    x = (RNG.normal(size=(500, 30)) * np.geomspace(3, 0.01, 30)).astype("f4")
    split = low_rank.factorize(model, {"dense": 4}, spaces_of(model, x))
    left, values, right = np.linalg.svd(dense.kernel.numpy())
    by_svd = x @ (left[:, :4] * values[:4]) @ right[:4]
    error = np.square(split(x) - model(x)).sum()
    assert error < 0.7 * np.square(by_svd - model(x)).sum()
    centred = model(x).numpy() - model(x).numpy().mean(0)
    best = np.square(np.linalg.svd(centred)[1][4:]).sum()
    assert error == pytest.approx(best, rel=1e-3)


def test_many_outputs_of_few_inputs_need_little_memory() -> None:
    # Their products would take 80 GB.
    inputs = keras.Input((8,))
    items = L.Dense(100_000, name="items")
    model = keras.Model(inputs, items(inputs))
    items.set_weights([items.kernel, RNG.normal(size=100_000)])
    x = RNG.normal(size=(64, 8)).astype("float32") * np.geomspace(3, 0.1, 8)
    options = TINY.replace(layer_ranks=("items:5",))
    assert low_rank.outline(model, options).count_params() < 700_000
    split = low_rank.factorize(model, {"items": 5}, spaces_of(model, x))
    centred = model(x).numpy() - model(x).numpy().mean(0)
    best = np.square(np.linalg.svd(centred, full_matrices=False)[1][5:]).sum()
    error = np.square(split(x) - model(x)).sum()
    assert error == pytest.approx(best, rel=1e-2)


def test_every_kind_of_layer_is_split_and_the_model_is_not_changed() -> None:
    model, x = network(), images()
    before = [weight.numpy() for weight in model.weights]
    outputs = model(x).numpy()
    spaces = spaces_of(model, x)
    names = {"strided", "dilated", "dense", "shared"}
    assert set(low_rank.layers(model)) == names | {"last"}
    largest = {
        name: low_rank.largest_rank(layer)
        for name, layer in low_rank.layers(model).items()
        if name in names
    }
    split = low_rank.factorize(model, largest, spaces)
    assert split.input.name == "image" and split.name == model.name
    made = set(low_rank.layers(split)) - set(low_rank.layers(model))
    assert made <= {f"{name}_low_rank" for name in names}
    assert (
        split.get_layer("inner").get_layer("dilated_low_rank").filters
        == (largest["dilated"])
    )
    assert split.count_params() < model.count_params()
    assert np.abs(split(x) - outputs).mean() < 0.05
    np.testing.assert_array_equal(model(x), outputs)
    for weight, array in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), array)
    np.testing.assert_allclose(
        bridge.to_tf_keras(split)(x), split(x), atol=1e-5
    )


@pytest.mark.parametrize("kind", ["convolution", "embedding"])
def test_sequences(kind) -> None:
    layer = {
        "convolution": L.Conv1D(24, 5, 2, padding="causal", name="layer"),
        "embedding": L.Embedding(40, 24, mask_zero=True, name="layer"),
    }[kind]
    if kind == "convolution":
        inputs = keras.Input((30, 6))
        x = RNG.normal(size=(50, 30, 6)).astype("float32")
    else:
        inputs = keras.Input((30,), dtype="int32")
        x = RNG.integers(0, 40, (50, 30)).astype("int32")
    model = keras.Model(inputs, layer(inputs))
    shape = layer.weights[0].shape
    kernel = RNG.normal(size=(*shape[:-1], 3)) @ RNG.normal(size=(3, 24))
    layer.weights[0].assign(kernel)
    split = low_rank.factorize(model, {"layer": 3}, spaces_of(model, x))
    np.testing.assert_allclose(split(x), model(x), atol=1e-3)
    assert "call" not in vars(layer)
    masks = [getattr(m(x), "_keras_mask", None) is None for m in (model, split)]
    assert masks == [kind == "convolution"] * 2


def test_ranks_keep_the_weights_asked_for() -> None:
    model, x = network(), images()
    spaces = spaces_of(model, x)
    sizes = {
        name: layer.weights[0].numpy().size
        for name, layer in low_rank.layers(model).items()
    }
    errors = []
    for part in (0.9, 0.5, 0.25, 0.1):
        options = TINY.replace(low_rank_weights=part)
        ranks = low_rank.choose_ranks(model, spaces, options)
        split = low_rank.factorize(model, ranks, spaces)
        removed = model.count_params() - split.count_params()
        assert sum(sizes.values()) - removed <= part * sum(sizes.values())
        errors.append(float(np.square(split(x) - model(x)).sum()))
    assert errors == sorted(errors)


@pytest.mark.parametrize(
    ("ranks", "words"),
    [
        (("nothing:3",), "'nothing:3' names none of strided, dilated, dense"),
        (("dense:0",), "the rank of dense must be 1 to 4"),
        (("dense:64",), "above which nothing is saved; received '64'"),
        (("dense",), "names none of"),
        (("dense:x",), "received 'x'"),
    ],
)
def test_ranks_that_do_not_fit_are_one_line(ranks, words) -> None:
    wanted = variants.parse(["lowrank+int8"])
    with pytest.raises(InputError, match=words):
        chain.plan(network(), wanted, TINY.replace(layer_ranks=ranks))


# The larger could be of rank 1 only, from which nothing can be given up.
@pytest.mark.parametrize("size", [2, 4])
def test_a_model_that_gains_nothing_is_refused(size) -> None:
    inputs = keras.Input((size,))
    model = keras.Model(inputs, L.Dense(2)(inputs))
    possible, (refused,) = chain.plan(
        model, variants.parse(["int8", "lowrank+prune+int8"]), TINY
    )
    assert [variant.name for variant in possible] == ["float32", "int8"]
    assert "low rank saves nothing" in refused["reason"]
    assert refused["reason"].endswith("Nearest: int8.")


def test_the_techniques_after_it_and_the_files(capsys) -> None:
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3), name="image"),
            L.Conv2D(16, 3, use_bias=False, name="conv"),
            L.BatchNormalization(),
            L.ReLU(),
            L.Flatten(),
            L.Dense(32, "relu", name="dense"),
            L.Dense(3, "softmax", name="last"),
        ]
    )
    model.compile("adam", "categorical_crossentropy")
    wanted = variants.parse(["lowrank+float32", "lowrank+prune+cluster+qat"])
    possible, refused = chain.plan(model, wanted, TINY)
    assert possible == wanted and not refused
    x = images()
    split = MemorySplit(x, RNG.integers(0, 3, 64))

    def transform(features, labels, seed=None):
        return features, tf.one_hot(labels, 3)

    ranks = TINY.replace(layer_ranks=("dense:4",))
    twins = chain.compress(model, possible, Finetuning(split, transform, ranks))
    assert "dense: rank 4" in capsys.readouterr().out
    assert chain.ranks(twins) == {"dense": 4}
    assert chain.ranks({(): twins[()]}) == {}
    pruned = twins[("lowrank", "prune")].get_layer("dense_low_rank")
    assert pruned.kernel.shape == (1600, 4)
    assert np.mean(pruned.kernel.numpy() == 0) >= 0.49
    counts = {}
    for variant in possible:
        content = conversion.convert(
            twins[variant.techniques], variant, {"image": x}, ["out"]
        )
        outputs = litert.Runner(content)(image=x)["out"]
        assert np.isfinite(outputs).all() and np.ptp(outputs) > 0
        counts[variant.name] = litert.inspect(content).multiplications
    convolution, last = 100 * 27 * 16, 32 * 3
    assert counts["float32"] == convolution + 1600 * 32 + last
    assert counts["lowrank+float32"] == convolution + 1632 * 4 + last
    assert counts["lowrank+prune+cluster+qat"] == counts["lowrank+float32"]


def test_options_that_name_a_layer_mean_both_halves() -> None:
    model = network()
    options = TINY.replace(prune_layers=("dense",), sparsity=0.8)
    x = images()
    split = MemorySplit(x, RNG.integers(0, 3, 64))

    def transform(features, labels, seed=None):
        return features, tf.one_hot(labels, 3)

    wanted = variants.parse(["lowrank+prune+int8"])
    twin = chain.compress(model, wanted, Finetuning(split, transform, options))[
        ("lowrank", "prune")
    ]
    parts = {
        layer.name: float(np.mean(layer.kernel.numpy() == 0))
        for layer in twin.layers
        if hasattr(layer, "kernel")
    }
    assert parts["dense"] > 0.78 and parts["dense_low_rank"] > 0.78
    assert parts["shared"] == parts["shared_low_rank"] == 0.0
    content = conversion.convert(
        twin, wanted[1], {"image": x}, ["out"],
        conversion.Int8("float32", False, ("dense",)),
    )  # fmt: skip
    file = litert.schema.ModelT.InitFromPackedBuf(content, 0)
    floats = [
        tensor
        for tensor in file.subgraphs[0].tensors
        if tensor.type == litert.schema.TensorType.FLOAT32
        and len(tensor.shape) == 2
        and file.buffers[tensor.buffer].data is not None
    ]
    assert sum(np.prod(tensor.shape) for tensor in floats) == sum(
        np.size(twin.get_layer(name).kernel)
        for name in ("dense", "dense_low_rank")
    )
