"""The JavaScript of the page, in Node.js, against Python and TensorFlow."""

import csv
import io
import json
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import demo_releases
import numpy as np
import pytest
import tensorflow as tf

from apps.text_sentiment import vocabulary

WEB = Path(__file__).resolve().parents[1] / "web"
RNG = np.random.default_rng(0)


def javascript(module: str, names: str, script: str) -> Any:
    """Returns what a script gives that uses a module of the page."""
    if not shutil.which("node"):
        reason = "needs Node.js, which is not installed"
        warnings.warn(f"the page's JavaScript {reason}", stacklevel=1)
        pytest.skip(reason)
    done = subprocess.run(
        ["node", "--input-type=module", "-e",
         f"import {{ {names} }} from {str(WEB / module)!r};"
         f"console.log(JSON.stringify({script}));"],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_the_tokenizer_gives_the_ids_of_the_python_tokenizer() -> None:
    words = (
        "good",
        "bad",
        "it's",
        "!",
        "\U0001f600",
        "a",
        "\u65e5",
        "constructor",
        "b",
    )
    tokenizer = vocabulary.make((*vocabulary.SPECIAL, *words), 12)
    rules = json.dumps(tokenizer.specification)
    actual = javascript(
        "tokenizer.js", "Tokenizer",
        f"(() => {{ const t = new Tokenizer("
        f"{json.dumps(tokenizer.vocabulary)}, {rules});"
        f"return {json.dumps(demo_releases.HARD_TEXTS)}.map("
        "(text) => [t.words(text), t.padded(text)]); })()",
    )  # fmt: skip
    for text, (words_of, ids) in zip(
        demo_releases.HARD_TEXTS, actual, strict=True
    ):
        assert words_of == tokenizer.words(text), text
        assert ids == tokenizer.padded(text), text


def test_a_plain_dollar_in_a_replacement_stays() -> None:
    rules = vocabulary.specification(4) | {
        "rules": [{"pattern": "(b)", "replacement": r"$1\1$&"}]
    }
    actual = javascript(
        "tokenizer.js", "Tokenizer",
        f"new Tokenizer([], {json.dumps(rules)}).words('abc')",
    )  # fmt: skip
    assert actual == ["a$1b$&c"]


@pytest.mark.parametrize(
    ("size", "target"),
    [((9, 7), (4, 5)), ((3, 4), (8, 8)), ((40, 31), (5, 31))],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_resized_as_tensorflow_does(size, target, channels) -> None:
    image = RNG.integers(0, 256, (*size, channels)).astype(np.float32)
    expected = tf.image.resize(image, target, antialias=True).numpy()
    actual = javascript(
        "resize.js", "resize",
        f"Array.from(resize({image.ravel().tolist()}, "
        f"{list(image.shape)}, {list(target)}))",
    )  # fmt: skip
    assert np.allclose(actual, expected.ravel(), atol=1e-3)


def test_csv_is_read_as_it_was_written() -> None:
    rows = [["index", "title"], ["1", 'The "best", they\nsaid'], ["2", ""],
            ["3", "a,b"], ["", "\xe4"]]  # fmt: skip
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    text = json.dumps(buffer.getvalue())
    assert javascript("csv.js", "parse", f"parse({text})") == rows


def test_outputs_of_other_names_are_not_called_equal() -> None:
    ours = {"a": [1, 2, 3], "b": [5]}
    assert [
        javascript(
            "difference.js", "difference",
            f"difference({ours}, {theirs}, {names})",
        )
        for theirs, names in (
            ({"a": [1, 2.5]}, ["a", "b"]),
            ({"c": [1, 2, 3]}, ["a", "b"]),
            ({"a": [9], "b": [5]}, ["b"]),
        )
    ] == [0.5, None, 0]  # fmt: skip
