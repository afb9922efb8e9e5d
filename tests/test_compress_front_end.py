"""apps.compress of models that take texts and keys."""

import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo_sequences
from keras import layers as L  # noqa: N812

from apps.compress import front_end, user_model
from apps.compress import train as app
from common.mobile import litert
from common.options import InputError

RNG = np.random.default_rng(0)
WORDS = np.array(["good", "fine", "bad", "dull", "film", "plot", "the", "a"])
TEXTS = [
    " ".join(words) + RNG.choice(["", "!", " ..."])
    for words in RNG.choice(WORDS, (160, 5))
]
TEXTS[0] = "  Ein Film,\tÄRGER  it's\nGOOD "
LABELS = np.array([text.count("good") > text.count("bad") for text in TEXTS])


def classifier(folder: Path) -> Path:
    """Saves a trained model from a text and a number to a probability."""
    keras.utils.set_random_seed(0)
    words = L.TextVectorization(output_sequence_length=6, name="words")
    words.adapt(TEXTS[1:])
    text = keras.Input((1,), dtype="string", name="text")
    length = keras.Input((1,), name="length")
    x = L.Embedding(words.vocabulary_size(), 4, name="table")(words(text))
    x = L.Concatenate()([L.GlobalAveragePooling1D()(x), length])
    x = L.Dense(1, activation="sigmoid")(L.Dense(8, activation="relu")(x))
    model = keras.Model({"text": text, "length": length}, x)
    model.compile(
        keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"]
    )
    inputs = {k: tf.constant(v) for k, v in examples().items()}
    model.fit(inputs, LABELS, epochs=12, verbose=0)
    model.save(folder / "text.keras")
    return folder / "text.keras"


def examples() -> dict[str, np.ndarray]:
    lengths = np.array([[len(text) / 50] for text in TEXTS], "f")
    return {"text": np.array(TEXTS)[:, None], "length": lengths}


def config(model: Path, **options: Any) -> app.Config:
    folder = model.parent
    np.savez(folder / "data.npz", **examples(), y=LABELS)
    return app.Config(
        **{
            "model": str(model),
            "dataset": str(folder / "data.npz"),
            "export_dir": str(folder / "releases"),
            "variants": ("float32", "int8", "prune+int8"),
            "finetune_epochs": 2,
            **options,
        }
    )


def indices(text: str, step: dict[str, Any]) -> list[int]:
    """Returns what an app computes by `front_end.json`."""
    capitals = str.maketrans(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
    )
    text = text.translate(capitals)
    text = re.sub(step["standardize"]["removed"], "", text)
    table = {word: index for index, word in enumerate(step["vocabulary"])}
    ids = [table.get(word, 1) for word in text.split()]
    length = step["settings"]["output_sequence_length"]
    return (ids + [0] * length)[:length]


def test_a_run_with_texts(tmp_path: Path) -> None:
    path = classifier(tmp_path)
    result = app.run(config(path))
    assert [row["name"] for row in result["variants"]] == [
        "float32", "int8", "prune+int8",
    ]  # fmt: skip
    assert result["metrics"]["test"]["accuracy"] >= 0.9
    assert any("words (TextVectorization)" in note for note in result["notes"])
    release = tmp_path / "releases" / "compress" / "1"
    model = keras.saving.load_model(path, compile=False)
    inputs = {k: v[:9] for k, v in examples().items()}
    expected = model({k: tf.constant(v) for k, v in inputs.items()}).numpy()
    served = tf.saved_model.load(release).signatures["serving_default"]
    answer = served(**{k: tf.constant(v) for k, v in inputs.items()})
    np.testing.assert_allclose(answer["output"], expected, atol=1e-6)
    described = json.loads(
        (release / "mobile" / front_end.FILE).read_text("utf-8")
    )
    (step,) = described["steps"]
    assert (step["takes"], step["gives"]) == (["text"], ["words"])
    assert described["inputs"]["words"] == {"dtype": "int64", "shape": [1, 6]}
    words = np.array([indices(text, step) for text in TEXTS[:9]])
    runner = litert.Runner((release / "mobile/float32.tflite").read_bytes())
    outputs = runner(words=words, length=inputs["length"])["output"]
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert words[0].tolist().count(1) == 3  # Ein, ÄRGER, its.


def test_without_labels(tmp_path: Path) -> None:
    path = classifier(tmp_path)
    np.savez(tmp_path / "inputs.npz", **examples())
    given = {"calibration": str(tmp_path / "inputs.npz")}
    result = app.run(config(path, dataset="", variants=("int8",), **given))
    assert [row["name"] for row in result["variants"]] == ["float32", "int8"]
    result = app.run(config(path, variants=("int8",), **given))
    assert len(result["variants"]) == 2


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"text": np.zeros((160, 1))}, "strings in text; it is of float64"),
        ({"length": np.array(TEXTS)}, "numbers in length; it is of <U"),
        ({"text": np.array(TEXTS).reshape(80, 2)[[0] * 160]}, "must fit the"),
        ({"y": np.array(TEXTS)}, "numbers in y; it is of <U"),
    ],
)
def test_data_that_do_not_fit(changed: Any, words: str, tmp_path: Path) -> None:
    path = classifier(tmp_path)
    given = config(path)
    np.savez(tmp_path / "data.npz", **{**examples(), "y": LABELS, **changed})
    with pytest.raises(InputError, match=re.escape(words)):
        app.run(given)


def test_a_key_that_the_vocabulary_lacks(tmp_path: Path) -> None:
    inputs = keras.Input((1,), dtype="string", name="color")
    lookup = L.StringLookup(vocabulary=["red", "blue"], num_oov_indices=0)
    x = L.Flatten()(L.Embedding(2, 2)(lookup(inputs)))
    model = keras.Model(inputs, L.Dense(1)(x))
    model.compile("adam", "mse")
    model.save(tmp_path / "keys.keras")
    given = config(tmp_path / "keys.keras")
    colors = np.array(["red", "blue"] * 79 + ["green", "red"])
    np.savez(tmp_path / "data.npz", x=colors, y=LABELS)
    with pytest.raises(InputError, match=r"front end, which fails.*green"):
        app.run(given)


@pytest.mark.parametrize(
    "build",
    [
        zoo_sequences.text,
        zoo_sequences.text_counts,
        zoo_sequences.string_lookup,
        zoo_sequences.integer_lookup,
        zoo_sequences.hashing,
        zoo_sequences.nested_lookup,
    ],
)
def test_both_parts_give_what_the_model_gives(build: Any, tmp_path) -> None:
    keras.utils.set_random_seed(0)
    build().save(tmp_path / "model.keras")
    user = user_model.load(str(tmp_path / "model.keras"))
    values = {
        "text": ["good film", "no a a bad unknown end of it"],
        "color": ["blue", "green"],
        "first": ["blue", "green"],
        "second": ["red", "red"],
        "city": ["Bonn", "Berlin"],
        "shop": [40, 9],
        "size": [1.5, 2.0],
    }
    front = user.front
    assert front is not None
    inputs = {
        name: tf.reshape(tf.constant(values[name], tensor.dtype), (-1, 1))
        for name, tensor in zip(
            user_model.input_names(front.model), front.model.inputs, strict=True
        )
    }
    given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    numbers = front.model(inputs)
    behind = numbers if len(numbers) > 1 else next(iter(numbers.values()))
    np.testing.assert_allclose(
        user.named(behind)["output"], user.original(given), atol=1e-6
    )
    assert not any(isinstance(x, front_end.LOOKUPS) for x in user.model.layers)
    json.dumps(front.steps)


def test_a_vocabulary_is_never_read_from_another_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("password\n", "utf-8")
    path = str(tmp_path / "model.keras")
    model = zoo_sequences.string_lookup()
    lookup = model.get_layer("color_index")
    settings = lookup.get_config()
    lookup.get_config = lambda: {**settings, "vocabulary": str(secret)}
    model.save(path)
    with pytest.raises(InputError, match="could not be loaded") as caught:
        user_model.load(path)
    assert "vocabulary file outside" in str(caught.value.__context__)


def test_a_teacher_must_have_the_same_vocabulary(tmp_path: Path) -> None:
    path = classifier(tmp_path)
    other = user_model.read(str(path)).original
    other.get_layer("words").set_vocabulary(["good", "bad"])
    other.save(tmp_path / "teacher.keras")
    given = config(path, variants=("float32",), teacher=str(path), epochs=1)
    with pytest.raises(InputError, match="--teacher must turn strings"):
        app.run(given.replace(teacher=str(tmp_path / "teacher.keras")))
    app.run(given.replace(work_dir=str(tmp_path / "runs")))


def test_a_name_inside_and_outside_is_refused(tmp_path: Path) -> None:
    words = L.TextVectorization(output_sequence_length=4, name="words")
    words.adapt(TEXTS)
    text = keras.Input((1,), dtype="string")
    table = L.Embedding(words.vocabulary_size(), 4, name="table")
    inner = keras.Model(text, table(words(text)))
    keys = keras.Input((4,), dtype="int32")
    outer = L.Embedding(9, 4, name="table")(keys)
    outside = keras.Input((1,), dtype="string")
    joined = L.Add()([inner(outside), outer])
    model = keras.Model([outside, keys], L.Dense(1)(L.Flatten()(joined)))
    model.save(tmp_path / "model.keras")
    with pytest.raises(InputError, match="different names for the layers"):
        user_model.load(str(tmp_path / "model.keras"))
