"""The search space: its grammar, and its check against options."""

import importlib
import itertools
import sys
from collections.abc import Iterator

import pytest
import tuned_app

from apps.tune import application, space
from apps.tune.config import Config
from common.options import InputError


@pytest.fixture(scope="module", autouse=True)
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Gives the package `toy` to import."""
    folder = tmp_path_factory.mktemp("toy")
    tuned_app.write(folder)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in [n for n in sys.modules if n.partition(".")[0] == "toy"]:
        del sys.modules[name]


def load(search: str = "", *words: str, **options) -> application.Application:
    command = ("toy", *words)
    return application.load(Config(search=search, command=command, **options))


def test_ranges_lists_and_types() -> None:
    app = load(
        "learning_rate=1e-4..1e-2 log, units = 8..64,layers=8|8,4|16\n"
        "flip=true|false,  # both\n kind=a|b"
    )
    rate, units, layers, flip, kind = app.parameters
    assert rate == space.Range("learning_rate", 1e-4, 1e-2, True)
    assert units == space.Range("units", 8, 64, False)
    assert type(units.low) is int
    assert layers.values == {"8": ("8",), "8,4": ("8", "4"), "16": ("16",)}
    assert flip.values == {"true": True, "false": False}
    drawn = {"learning_rate": 0.003, "units": 9, "layers": "8,4",
             "flip": "true", "kind": "b"}  # fmt: skip
    options = app.options(drawn)
    assert (options.learning_rate, options.layers) == (0.003, ("8", "4"))
    assert options.flip is True and options.kind == "b"
    assert set(drawn) <= options.given
    assert rate.drawn(0.5) is None and layers.drawn(("8", "4")) == "8,4"
    assert kind.drawn("c") is None and units.drawn(64) == 64


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ("units=a..b", "must be a whole number; received 'a'"),
        ("unit=8..64", "did you mean units"),
        ("units=64..8", "low end below its high end; received units='64..8'"),
        ("units=8..8", "low end below its high end"),
        ("units=8..9..10", "must be a whole number"),
        ("units=1.5..3", "must be a whole number; received '1.5'"),
        ("units=8..2000", "--units must be at most 1000; received 2000"),
        ("units=0|8", "--units must be at least 1; received 0"),
        ("units=16", "at least two different values"),
        ("units=16|16", "at least two different values"),
        ("units=", "at least two different values"),
        ("learning_rate=0..1 log", "with log must begin above 0"),
        ("learning_rate=nan..1", "must be a number; received 'nan'"),
        ("learning_rate=1e-3..1e-2 lin", "low..high, with log behind it"),
        ("kind=a|c", "--kind must be one of a, b; received 'c'"),
        ("kind=1..2", "must be a list such as a|b"),
        ("flip=yes|no", "must be true or false; received 'yes'"),
        ("max_drop=0..1", "trained weights do not depend on this one"),
        ("dataset=a|b", "decides which examples validate"),
        ("seed=0..9", "decides which examples validate"),
        ("rows=1..9", "decides which examples validate"),
        ("units=8|16, units=8..64", "received units twice"),
        ("hello", "must be items such as learning_rate=1e-4..1e-2 log"),
    ],
)
def test_a_bad_space_gets_one_line(search: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        load(search)
    assert words in str(error.value) and str(error.value).startswith("--search")
    assert "\n" not in str(error.value)


def test_options_on_data_that_leave_validation_alone_may_be_searched() -> None:
    assert load("size=1..9").parameters[0].name == "size"


def test_values_are_checked_beside_the_options_given() -> None:
    with pytest.raises(InputError, match="--units must not be 77"):
        load("units=8|77", "--kind=b")
    assert load("units=8|77").parameters


def test_search_replaces_the_own_space_or_extends_it() -> None:
    assert list(load().items) == ["learning_rate", "units", "kind"]
    assert list(load("flip=true|false").items) == ["flip"]
    both = load("units=1|2, flip=true|false", extend=True)
    assert list(both.items) == ["learning_rate", "units", "kind", "flip"]
    assert both.items["units"] == "1|2"


@pytest.mark.parametrize("package", ["apps.serve", "apps.none", "../x", "os"])
def test_what_is_no_application_is_named(package: str) -> None:
    with pytest.raises(InputError, match="must be an application, such as"):
        application.load(Config(command=(package,)))


@pytest.mark.parametrize(
    ("word", "words"),
    [("--epoch=3", "epochs"), ("x", "options start with --")],
)
def test_wrong_options_of_the_application_get_one_line(
    word: str, words: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        load("", word)
    errors = capsys.readouterr().err
    assert ended.value.code == 2
    assert words in errors and errors.count("\n") == 1


@pytest.mark.parametrize("word", ["--mode=predict", "--strategy=multi_worker"])
def test_only_training_on_one_worker_is_searched(word: str) -> None:
    with pytest.raises(InputError, match="a search must train, on one worker"):
        load("", word)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objectives": ("size",)}, "--objectives must be metric or"),
        ({"variant": "int7"}, "Did you mean int8?"),
        ({"extend": True}, "--extend needs --search"),
        ({"command": ()}, "an application must follow --"),
        ({"trials": 0}, "--trials must be at least 1"),
    ],
)
def test_broken_rules_are_reported(options: dict, words: str) -> None:
    with pytest.raises(InputError) as error:
        Config(**{"command": ("toy",), **options})
    assert words in str(error.value)


def models(app: str) -> tuple[str, ...]:
    """Returns the networks that an app has a choice of."""
    config = importlib.import_module(f"apps.{app}.config").Config
    field = config.__dataclass_fields__.get("model")
    return field.metadata["choices"] if field else ("",)


@pytest.mark.parametrize(
    "app",
    ["image_classify", "text_sentiment", "recommender", "fraud_detect",
     "medical_autoencoder"],
)  # fmt: skip
def test_the_own_space_of_every_application_is_sound(app: str) -> None:
    for model in models(app):
        words = [f"--model={model}"] if model else []
        if model == "denoiser":
            words.append("--noise=gaussian")
        loaded = application.load(Config(command=(f"apps.{app}", *words)))
        assert len(loaded.parameters) >= 4
        # The ends of ranges and the values of lists, in turn.
        for values in itertools.zip_longest(*map(values_of, loaded.parameters)):
            pairs = zip(loaded.parameters, values, strict=True)
            loaded.options(
                {
                    p.name: values_of(p)[0] if value is None else value
                    for p, value in pairs
                }
            )
        # What trials leave out does not change the weights or the data.
        base = loaded.base.replace(**loaded.in_trials)
        assert base.dataset == loaded.base.dataset


def values_of(parameter: space.Parameter) -> list:
    """Returns values that a sampler may draw."""
    if isinstance(parameter, space.Range):
        return [parameter.low, parameter.high]
    return list(parameter.values)


def test_a_flagfile_gives_the_same_options(tmp_path) -> None:
    words = ["--layers=8,4", "--flip", "--kind=a", "--learning_rate=0.1234567"]
    app = load("", *words, "--dataset=a b, c=d.csv")
    names = ("layers", "flip", "kind", "learning_rate", "dataset")
    flagfile = tmp_path / "best.flags"
    flagfile.write_text("\n".join(application.as_flags(app.base, names)))
    again = load("", f"--flagfile={flagfile}")
    assert again.base == app.base and again.base.given == app.base.given
