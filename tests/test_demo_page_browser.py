"""The page in Chromium, on tiny files; the apps' own tests ask real ones."""

import functools
import http.server
import json
import threading
from pathlib import Path
from typing import Any

import demo_pages
import demo_releases
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from apps.text_sentiment import vocabulary
from common.serving import page_files

pytestmark = pytest.mark.slow
RNG = np.random.default_rng(0)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def content() -> bytes:
    return demo_releases.doubling()


@pytest.fixture
def release(tmp_path: Path, content: bytes) -> Path:
    return demo_releases.write_release(
        tmp_path / "toy" / "7", content, ("a", "b", "<c>")
    )


def test_numbers_are_asked_of_both(release, content, browser) -> None:
    with demo_pages.opened(
        browser, release, model=demo_releases.Doubler()
    ) as state:
        assert state == ""
        x = RNG.normal(size=(4, 3)).astype(np.float32)
        file = release / "mobile" / "model.tflite"
        demo_pages.check_runs(browser, file, {"x": x})
        shown = demo_pages.ask(browser, "")
        # The example is there from the start; a label is no markup.
        assert "<c>700.00 %" in shown["phone"]
        assert shown["difference"] == 0
        with pytest.raises(RuntimeError, match="needs 3 numbers"):
            demo_pages.ask(
                browser, 'document.getElementById("input-x").value = "1 2";'
            )


def test_a_text_is_read_in_the_browser_as_in_python(tmp_path, browser) -> None:
    words = ("good", "bad", "it's", "!", "\U0001f600", "a", "\u65e5")
    tokenizer = vocabulary.make((*vocabulary.SPECIAL, *words), 12)
    weights = RNG.normal(size=(12, 2)).astype(np.float32)
    content = demo_releases.converted(
        "probabilities",
        tf.TensorSpec((1, 12), tf.int32, "token_ids"),
        lambda ids: tf.nn.softmax(tf.cast(ids, tf.float32) @ weights),
    )
    release = demo_releases.write_release(
        tmp_path / "1", content, ("no", "yes"), ("text", "probabilities")
    )
    vocabulary.write(release / "mobile", tokenizer)
    with demo_pages.opened(
        browser, release, model=demo_releases.Reader(release)
    ) as state:
        assert state == ""
        for text in demo_releases.HARD_TEXTS:
            if not text.strip() or "\r" in text:
                continue  # The form refuses it; a text area has no such end.
            shown = demo_pages.ask(
                browser,
                f'document.getElementById("text").value = {json.dumps(text)};',
            )
            assert shown["difference"] < 1e-6, text
            assert shown["phone"].count(" %") == 2


def test_a_sequence_has_a_field_for_each_step(tmp_path, browser) -> None:
    class Sums:
        def dtypes(self, signature: str) -> dict[str, np.dtype]:
            return dict.fromkeys(("a", "b", "c"), np.dtype("float32"))

        def predict(self, signature: str, inputs: Any) -> dict[str, Any]:
            parts = [
                (10**place) * inputs[name] for place, name in enumerate("abc")
            ]
            return {"score": sum(parts)[:, 1] - sum(parts)[:, 0]}

    content = demo_releases.converted(
        "score", tf.TensorSpec((1, 2, 3), tf.float32, "features"),
        lambda x: tf.reduce_sum((x[:, 1] - x[:, 0]) * [[1.0, 10.0, 100.0]], 1),
    )  # fmt: skip
    release = demo_releases.write_release(
        tmp_path / "1", content, (), ("a", "score")
    )
    (release / "mobile" / "features.txt").write_text("a\nb\nc\n")
    with demo_pages.opened(browser, release, model=Sums()) as state:
        assert state == ""
        shown = demo_pages.ask(
            browser,
            'document.querySelectorAll(".cells input").forEach('
            "(box, place) => { box.value = place * place; });",
        )
        assert "Score: 951" in shown["phone"]  # 1 + 50 + 900.
        assert shown["difference"] == 0


def test_any_static_host_can_serve_the_folder(
    tmp_path, release, browser
) -> None:
    pages = page_files.contents(release, "", is_live=False)
    page_files.save(pages, tmp_path / "site")
    handler = functools.partial(Quiet, directory=tmp_path / "site")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.open(f"http://127.0.0.1:{server.server_port}/")
        assert browser.run(demo_pages.LOAD) == ""
        shown = browser.run(demo_pages.ASK_PHONE)
        server.shutdown()
    assert "<c>700.00 %" in shown and "SavedModel" not in shown


def test_a_file_with_a_state_gets_a_plain_sentence(
    tmp_path, content, browser
) -> None:
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    graph.tensors[graph.outputs[0]].isVariable = True
    packed = demo_releases.pack(model)
    release = demo_releases.write_release(tmp_path / "1", packed)
    with demo_pages.opened(
        browser, release, model=demo_releases.Doubler()
    ) as state:
        assert "it keeps a state between calls" in state
        browser.complaints.clear()


def test_a_file_of_colours_may_be_of_a_grey_model(tmp_path, browser) -> None:
    grey = tf.constant([0.2989, 0.587, 0.114])

    class Mean:
        def dtypes(self, signature: str) -> dict[str, np.dtype]:
            return {"image": np.dtype("uint8")}

        def predict(self, signature: str, inputs: Any) -> dict[str, Any]:
            assert inputs["image"].shape == (1, 4, 4, 1)
            mean = inputs["image"].mean(axis=(1, 2, 3)) / 255
            return {"probabilities": np.stack([mean, 1 - mean], 1)}

    def means(image: tf.Tensor) -> tf.Tensor:
        mean = tf.reduce_mean(tf.reduce_sum(image * grey, 3), (1, 2))
        return tf.stack([mean, 1 - mean], 1)

    spec = tf.TensorSpec((1, 4, 4, 3), tf.float32, "image")
    content = demo_releases.converted("probabilities", spec, means)
    release = demo_releases.write_release(tmp_path / "1", content)
    path = release / "report" / "report.json"
    facts = json.loads(path.read_text("utf-8"))
    facts["serving"]["signatures"]["pixels"] = {
        "inputs": {"image": {"dtype": "uint8", "shape": [None, 4, 4, 1]}},
        "outputs": {"probabilities": {}},
    }
    path.write_text(json.dumps(facts))
    picture = RNG.integers(0, 256, (4, 4, 3), np.uint8)
    with demo_pages.opened(browser, release, model=Mean()) as state:
        assert state == ""
        shown = demo_pages.ask(
            browser, demo_pages.drop(tf.io.encode_png(picture).numpy())
        )
    assert (
        shown["difference"] < 0.5 / 255
    )  # The SavedModel's bytes are rounded.
