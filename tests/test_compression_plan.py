"""Names of variants, and which of them a model can take."""

import keras
import pytest

from common import variants
from common.compression import chain
from common.options import InputError


def test_names_stand_for_steps_and_a_format() -> None:
    found = variants.parse(["prune+cluster+qat", "prune+int8", "prune+int8"])
    assert [one.name for one in found] == [
        "float32", "prune+cluster+qat", "prune+int8",
    ]  # fmt: skip
    assert found[1].techniques == ("prune", "cluster", "qat")
    assert (found[1].format, found[2].format) == ("int8", "int8")


@pytest.mark.parametrize(
    "name", ["int4", "prune", "qat+int8", "cluster+prune+int8", ""]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="--variants must be"):
        variants.parse([name])


def test_shared_steps_are_done_once() -> None:
    names = ["prune+int8", "prune+float16", "prune+cluster+qat"]
    techniques = [one.techniques for one in variants.parse(names)]
    assert variants.prefixes(techniques) == [
        ("prune",), ("prune", "cluster"), ("prune", "cluster", "qat"),
    ]  # fmt: skip


def test_quantization_of_an_lstm_is_refused_with_a_reason() -> None:
    model = keras.Sequential(
        [keras.Input((5, 3)), keras.layers.LSTM(4), keras.layers.Dense(2)]
    )
    wanted = variants.parse(["dynamic", "prune+int8", "prune+qat"])
    possible, refused = chain.plan(model, wanted)
    assert [one.name for one in possible] == [
        "float32", "dynamic", "prune+int8",
    ]  # fmt: skip
    (one,) = refused
    assert one["name"] == "prune+qat"
    assert "lstm" in one["reason"].lower()
    assert one["reason"].endswith("Nearest: prune+int8.")


def test_clustering_nothing_is_refused_and_the_rest_is_made() -> None:
    small = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    wanted = variants.parse(["int8", "prune+cluster+int8"])
    possible, refused = chain.plan(small, wanted)
    assert [one.name for one in possible] == ["float32", "int8"]
    assert "can cluster none of" in refused[0]["reason"]
    assert refused[0]["reason"].endswith("Nearest: prune+int8.")
