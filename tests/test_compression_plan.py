"""Names of variants, and which variants a model can take."""

import keras
import pytest

from common import variants
from common.compression import chain
from common.options import InputError


def test_names_stand_for_steps_and_a_format() -> None:
    parsed = variants.parse(["prune+cluster+qat", "prune+int8", "prune+int8"])
    assert [variant.name for variant in parsed] == [
        "float32", "prune+cluster+qat", "prune+int8",
    ]  # fmt: skip
    assert parsed[1].techniques == ("prune", "cluster", "qat")
    assert (parsed[1].format, parsed[2].format) == ("int8", "int8")


@pytest.mark.parametrize(
    "name",
    [
        "int7",
        "prune",
        "qat+int8",
        "cluster+prune+int8",
        "prune+lowrank+int8",
        "",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="--variants must be"):
        variants.parse([name])


def test_shared_steps_are_done_once() -> None:
    names = ["prune+int8", "prune+float16", "prune+cluster+qat"]
    techniques = [variant.techniques for variant in variants.parse(names)]
    assert variants.prefixes(techniques) == [
        ("prune",), ("prune", "cluster"), ("prune", "cluster", "qat"),
    ]  # fmt: skip


def test_quantization_of_an_lstm_is_refused_with_a_reason() -> None:
    model = keras.Sequential(
        [keras.Input((5, 3)), keras.layers.LSTM(4), keras.layers.Dense(2)]
    )
    wanted = variants.parse(["dynamic", "prune+int8", "prune+qat"])
    possible, refused = chain.plan(model, wanted)
    assert [variant.name for variant in possible] == [
        "float32", "dynamic", "prune+int8",
    ]  # fmt: skip
    (refusal,) = refused
    assert refusal["name"] == "prune+qat"
    assert "lstm" in refusal["reason"].lower()
    assert refusal["reason"].endswith("Nearest: prune+int8.")


def test_clustering_nothing_is_refused_and_the_rest_is_made() -> None:
    small = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    wanted = variants.parse(["int8", "prune+cluster+int8"])
    possible, refused = chain.plan(small, wanted)
    assert [variant.name for variant in possible] == ["float32", "int8"]
    assert "can cluster none of" in refused[0]["reason"]
    assert refused[0]["reason"].endswith("Nearest: prune+int8.")
