"""What becomes of each model of the zoo."""

import re
from pathlib import Path
from typing import Any

import keras
import model_zoo
import pytest
import zoo_networks
import zoo_sequences

from apps.compress import user_model
from common import variants
from common.compression import chain, wrappers
from common.keras2 import bridge, check
from common.options import InputError
from common.shared_options import Options

TECHNIQUES = ("prune", "cluster", "qat")
TOLERANCE = 1e-5
# Half precision of the model itself, which its twin does not have.
HALF = 1e-3


def of(builders: dict[Any, Any]) -> list[Any]:
    return [pytest.param(x, id=x.__name__) for x in builders]


def load(build: Any, folder: Path) -> keras.Model:
    """Returns the model as `apps.compress` reads it from a file."""
    keras.utils.set_random_seed(0)
    build().save(folder / "model.keras")
    return user_model.load(str(folder / "model.keras")).model


REFUSED = {x: entry for x, entry in model_zoo.ZOO.items() if entry.model}
TAKEN = {x: entry for x, entry in model_zoo.ZOO.items() if not entry.model}


@pytest.mark.parametrize("build", of(TAKEN))
def test_the_twin_equals_the_model(build: Any, tmp_path: Path) -> None:
    model = load(build, tmp_path)
    half = any("16" in layer.dtype_policy.name for layer in model.layers)
    twin = bridge.to_tf_keras(model, check=False)
    assert check.compare(model, twin) <= (HALF if half else TOLERANCE)


@pytest.mark.parametrize("build", of(REFUSED))
def test_the_model_is_refused_in_a_line(build: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=REFUSED[build].model) as error:
        load(build, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "build", of({x: entry for x, entry in TAKEN.items() if entry.qat})
)
def test_training_with_quantization_is_refused(
    build: Any, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match=TAKEN[build].qat) as error:
        wrap(build, "qat", tmp_path)
    assert "QuantizeConfig" not in str(error.value)


@pytest.mark.parametrize("build", of(dict.fromkeys(model_zoo.PICKED)))
def test_techniques_that_picked_models_take(build: Any, tmp_path: Path) -> None:
    for technique in TECHNIQUES:
        wrap(build, technique, tmp_path)


@pytest.mark.by_hand
@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("build", of(TAKEN))
def test_techniques_that_the_model_takes(
    build: Any, technique: str, tmp_path: Path
) -> None:
    if technique == "qat" and TAKEN[build].qat:
        pytest.skip("it is refused, as another test shows")
    wrap(build, technique, tmp_path)


def row(build: Any, entry: model_zoo.Entry) -> str:
    """Returns the row of a model in the table of docs/architectures.md."""
    if entry.model:
        return f"| {build.__name__} | no: {entry.model} | | | |"
    kind = re.search(r"\\\((\w+)", entry.qat)
    qat = "no: inputs that are integers" if entry.qat else "yes"
    qat = f"no: {kind[1]}" if kind else qat
    return f"| {build.__name__} | yes | yes | yes | {qat} |"


def test_the_table_in_the_documentation_is_that_of_the_zoo() -> None:
    page = Path(__file__).parents[1] / "docs" / "architectures.md"
    text = page.read_text("utf-8")
    rows = [row(build, entry) for build, entry in model_zoo.ZOO.items()]
    assert "\n".join(rows) in text


def wrap(build: Any, technique: str, folder: Path) -> None:
    twin = bridge.to_tf_keras(load(build, folder), check=False)
    wrappers.wrap(twin, (technique,), 10, Options())


STEPS = ("prune+int8", "cluster+int8", "prune+cluster+int8", "qat", "prune+qat")


def whole_refusal(model: keras.Model, techniques: variants.Techniques) -> str:
    """Returns why wrapping the whole twin fails, or ""."""
    twin = bridge.to_tf_keras(model, check=False)
    if techniques == ("prune", "cluster"):
        wrappers.thin(twin, Options().sparsity)
    try:
        wrappers.wrap(twin, techniques, 10, Options())
    except (RuntimeError, ValueError) as error:
        return " ".join(str(error).split())
    return ""


def check_plan(model: keras.Model) -> None:
    """Compares the plan, which tries a part of the twin, with whole trials."""
    wanted = variants.parse(STEPS)
    plan = chain.plan(model, wanted, Options())
    planned = {row["name"]: row["reason"] for row in plan.refused}
    steps = variants.prefixes(variant.techniques for variant in wanted)
    reasons = {step: whole_refusal(model, step) for step in steps}
    for variant in wanted:
        expected = next(
            filter(
                None,
                (reasons[x] for x in variants.prefixes([variant.techniques])),
            ),
            "",
        )
        reason = planned.get(variant.name, "").partition(" Nearest:")[0]
        assert reason == expected, variant.name


# One that keeps nothing, and one with a layer that QAT does not know.
@pytest.mark.parametrize(
    "build", of(dict.fromkeys((zoo_networks.unet, zoo_sequences.lstm)))
)
def test_the_plan_is_that_of_whole_trials(build: Any, tmp_path: Path) -> None:
    check_plan(load(build, tmp_path))


@pytest.mark.by_hand
@pytest.mark.parametrize("build", of(TAKEN))
def test_every_plan_is_that_of_whole_trials(build: Any, tmp_path: Path) -> None:
    check_plan(load(build, tmp_path))


@pytest.mark.by_hand
@pytest.mark.parametrize(
    "name", ["MobileNetV2", "DenseNet121", "EfficientNetB0", "NASNetMobile"]
)
def test_plans_of_deep_networks_are_those_of_whole_trials(name: str) -> None:
    check_plan(getattr(keras.applications, name)(weights=None))


def test_what_cannot_be_kept_is_refused_before_training() -> None:
    names = variants.parse(["qat", "prune+qat", "prune+cluster+qat"])
    plan = chain.plan(zoo_networks.unet(), names, Options())
    assert [variant.name for variant in plan.variants] == ["float32", "qat"]
    for refused in plan.refused:
        assert (
            "(Conv2DTranspose) in training: it cannot keep what prune"
            in (refused["reason"])
        )
    assert plan.refused[0]["reason"].endswith("Nearest: prune+int8.")
