"""The page that runs a phone's file: its files, its server, its JavaScript."""

import base64
import contextlib
import csv
import functools
import hashlib
import http.client
import http.server
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import demo_pages
import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from apps.text_sentiment import vocabulary
from common.mobile import litert
from common.options import InputError
from common.release.status import ServingError
from common.serving import page_files, page_server

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "web"
RNG = np.random.default_rng(0)
HARD_TEXTS = (
    "", " ", "'", "''quoted'' it's rock'n'roll '",
    "Don\u2019t STOP!! \xc4\xd6\xdc \u0130stanbul \u212a",
    "a<br />b <b>bold</b> 3 < 5 > 2 <not closed &amp; &#39;", "$1 \\1 $& costs",
    "\u65e5\u672c\u8a9e\uff1f \u3059\u3054\u3044\uff01 \u4e2d\u6587",
    # A skin, a family of three, and a variation selector.
    "\U0001f600\U0001f600\U0001f44d\U0001f3fd "
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u263a\ufe0f",
    "tab\tline\nend\r\n\u2028x\x00y", "\ufeffmark \ufb01 \xbd \xb2",
    "constructor __proto__ <padding> <unknown> toString",
    "good " * 30 + "bad", "e\u0301clair na\xefve ...--- a-b_c/d",
)  # fmt: skip


class Doubler:
    """Stands for a SavedModel: it gives the double of its input."""

    def dtypes(self, signature: str) -> dict[str, np.dtype]:
        if signature not in ("", "serving_default"):
            raise ServingError("NOT_FOUND", "no such signature")
        return {"x": np.dtype("float32")}

    def predict(self, signature: str, inputs: Any) -> dict[str, np.ndarray]:
        return {"y": 2 * inputs["x"]}


class Reader:
    """Stands for a SavedModel of texts: it has the Python tokenizer."""

    def __init__(self, release: Path) -> None:
        self._tokenizer = vocabulary.read(release / "mobile")
        content = (release / "mobile" / "model.tflite").read_bytes()
        self._runner = litert.Runner(content)

    def dtypes(self, signature: str) -> dict[str, np.dtype]:
        return {"text": np.dtype(object)}

    def predict(self, signature: str, inputs: Any) -> dict[str, np.ndarray]:
        texts = [text.decode("utf-8") for text in inputs["text"]]
        ids = [self._tokenizer.padded(text) for text in texts]
        return self._runner(token_ids=np.array(ids, np.int32))


def converted(name: str, spec: tf.TensorSpec, function: Any) -> bytes:
    """Returns a TFLite file with one output, `name`."""
    module = tf.Module()
    module.serve = tf.function(
        lambda x: {name: function(x)}, input_signature=[spec]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.serve.get_concrete_function()], module
    )
    return converter.convert()


def write_release(
    release: Path,
    content: bytes,
    labels: tuple[str, ...] = (),
    names: tuple[str, str] = ("x", "y"),
) -> Path:
    """Writes a release with a TFLite file, and all that a page reads."""
    for folder in ("mobile", "report", "assets.extra"):
        (release / folder).mkdir(parents=True)
    (release / "mobile" / "model.tflite").write_bytes(content)
    if labels:
        lines = "\n".join(labels) + "\n"
        (release / "mobile" / "labels.txt").write_text(lines, "utf-8")
    float32 = {"dtype": "float32", "shape": [None, 3]}
    report = {
        "app": "toy", "config": {}, "dataset": {"name": "numbers"},
        "serving": {"signatures": {"serving_default": {
            "inputs": {names[0]: float32}, "outputs": {names[1]: float32},
        }}},
    }  # fmt: skip
    (release / "report" / "report.json").write_text(json.dumps(report))
    example = {"instances": [{"x": [0.1, -2.0, 3.5]}]}
    (release / "assets.extra" / "example.json").write_text(json.dumps(example))
    return release


@pytest.fixture(scope="module")
def content() -> bytes:
    """A TFLite file that doubles three numbers."""
    spec = tf.TensorSpec((1, 3), tf.float32, "x")
    return converted("y", spec, lambda x: 2.0 * x)


@pytest.fixture
def release(tmp_path: Path, content: bytes) -> Path:
    return write_release(tmp_path / "toy" / "7", content, ("a", "b", "<c>"))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the npm packages, which tests need not have."""
    folder = tmp_path / "root" / "web" / "packages"
    for name in page_files.LITERT.values():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    monkeypatch.setattr(page_files, "PACKAGES", folder)
    monkeypatch.setattr(page_files, "ROOT", tmp_path / "root")
    shutil.copy(ROOT / "LICENSE", tmp_path / "root")
    return folder


@contextlib.contextmanager
def asking(release: Path) -> Iterator[Any]:
    """Serves a page; gives what asks it: status, headers and body."""
    pages = page_files.contents(release, "", is_live=True)
    with page_server.serving(pages, Doubler(), "127.0.0.1", 0) as port:

        def ask(method: str, path: str, body: Any = None, **headers: str):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.status, response.headers, response.read()
            connection.close()
            return answer

        yield ask


def javascript(module: str, names: str, script: str) -> Any:
    """Returns what a script gives that uses a module of the page."""
    if not shutil.which("node"):
        pytest.skip("needs Node.js, which is not installed")
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
        f"return {json.dumps(HARD_TEXTS)}.map("
        "(text) => [t.words(text), t.padded(text)]); })()",
    )  # fmt: skip
    for text, (words_of, ids) in zip(HARD_TEXTS, actual, strict=True):
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


def test_the_policy_allows_the_import_map_and_nothing_foreign() -> None:
    page = (WEB / "index.html").read_text("utf-8")
    (import_map,) = re.findall(r'"importmap">(.*?)</script>', page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest())
    assert f"'sha256-{digest.decode()}'" in page
    assert "default-src 'none'" in page and "unsafe-inline" not in page
    named = json.loads(import_map)["imports"].values()
    assert {name.removeprefix("./") for name in named} <= {*page_files.LITERT}
    for path in WEB.glob("*.*"):
        if path.name != "package-lock.json":
            assert "//" not in re.sub(
                r"(?m)(^|\s)//.*$", "", path.read_text("utf-8")
            ), path


def test_a_missing_runtime_is_one_line(release, packages) -> None:
    runtime = next(iter(page_files.LITERT.values()))
    (packages / runtime).unlink()
    with pytest.raises(InputError, match="Run `make demo-page`") as caught:
        page_files.contents(release, "", is_live=False)
    assert "\n" not in str(caught.value)


def test_the_page_tells_what_the_file_takes(release, packages) -> None:
    pages = page_files.contents(release, "", is_live=False)
    facts = json.loads(pages["page.json"])
    assert facts["inputs"]["x"] == {
        "shape": [1, 3], "dtype": "float32", "scale": 0.0, "zero_point": 0,
    }  # fmt: skip
    assert facts["app"] == "toy" and facts["version"] == "7"
    assert facts["files"] == ["labels.txt", "example.json"]
    assert not facts["saved_model"] and not facts["keeps_state"]
    with pytest.raises(InputError, match="--variant must be one of model"):
        page_files.contents(release, "int8", is_live=False)


def test_a_folder_is_written_whole_or_not_at_all(
    release, packages, tmp_path, monkeypatch
) -> None:
    pages = page_files.contents(release, "", is_live=False)
    folder = tmp_path / "site"
    page_files.save(pages, folder)
    written = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert written == {k: page_files.read(v) for k, v in pages.items()}
    assert {"index.html", "LICENSE", "release/model.tflite"} <= set(written)
    with pytest.raises(InputError, match="--output must be a new or an empty"):
        page_files.save(pages, folder)
    other = tmp_path / "other"
    with pytest.raises(FileNotFoundError):
        page_files.save({**pages, "z.js": tmp_path / "missing"}, other)
    assert not other.exists() and not list(tmp_path.glob(".other*"))


def test_the_server_has_the_pages_files_and_no_others(
    release, packages
) -> None:
    with asking(release) as ask:
        status, headers, body = ask("GET", "/")
        assert status == 200 and body == (WEB / "index.html").read_bytes()
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        status, headers, body = ask("GET", "/release/model.tflite?x=1")
        assert body == (release / "mobile" / "model.tflite").read_bytes()
        for path in (
            "/../package.json", "/%2e%2e/package.json", "/package.json",
            "/release/../../report/report.json", "//etc/passwd",
            "/release/", "/node_modules", "/" + "x" * 5000,
        ):  # fmt: skip
            assert ask("GET", path)[0] == 404, path
        status, headers, body = ask("HEAD", "/page.json")
        assert status == 200 and not body and int(headers["Content-Length"])


def test_the_server_answers_for_the_saved_model(release, packages) -> None:
    def body(**values: Any) -> bytes:
        return json.dumps(values).encode()

    typed = {"Content-Type": "application/json"}
    with asking(release) as ask:
        right = body(inputs={"x": [[1, 2, 3]]})
        status, _, answer = ask("POST", "/saved_model", right, **typed)
        assert status == 200
        assert json.loads(answer) == {"outputs": [[2.0, 4.0, 6.0]]}
        for path, content, headers, status in (
            ("/saved_model", right, {"Content-Type": "text/plain"}, 400),
            ("/saved_model", b"{", typed, 400),
            ("/saved_model", body(inputs={"z": [1]}), typed, 400),
            ("/saved_model", body(signature_name="no", inputs=[]), typed, 404),
            ("/elsewhere", right, typed, 404),
            ("/saved_model", b"", typed | {"Content-Length": "99999999"}, 400),
            ("/saved_model", b"", typed | {"Content-Length": "-1"}, 400),
        ):
            code, _, answer = ask("POST", path, content, **headers)
            assert code == status and json.loads(answer)["error"], content


def test_a_taken_port_is_one_line(release, packages) -> None:
    pages = page_files.contents(release, "", is_live=True)
    with (
        page_server.serving(pages, Doubler(), "127.0.0.1", 0) as port,
        pytest.raises(InputError, match="--port must be free on 127"),
        page_server.serving(pages, Doubler(), "127.0.0.1", port),
    ):
        pass


def test_the_command_says_what_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "apps.demo_page"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "--release must be a release directory" in line


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(tmp_path, content) -> None:
    if not page_files.PACKAGES.is_dir():
        pytest.skip("needs LiteRT.js: run `make demo-page`")
    release = write_release(tmp_path / "1", content)
    module = tf.Module()
    module.serve = tf.function(
        lambda x: {"y": 2.0 * x},
        input_signature=[tf.TensorSpec((None, 3), tf.float32, "x")],
    )
    tf.saved_model.save(module, release, module.serve)
    process = subprocess.Popen(
        [sys.executable, "-m", "apps.demo_page", f"--release={release}",
         "--port=0"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    address = process.stdout.readline().split()[-1]
    port = int(address.strip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/page.json")
    assert json.loads(connection.getresponse().read())["app"] == "toy"
    connection.close()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and out.split() == ["stopped"]
    assert "Traceback" not in err


@pytest.mark.slow
def test_numbers_are_asked_of_both(release, content, browser) -> None:
    with demo_pages.opened(browser, release, model=Doubler()) as state:
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


@pytest.mark.slow
def test_a_text_is_read_in_the_browser_as_in_python(tmp_path, browser) -> None:
    words = ("good", "bad", "it's", "!", "\U0001f600", "a", "\u65e5")
    tokenizer = vocabulary.make((*vocabulary.SPECIAL, *words), 12)
    weights = RNG.normal(size=(12, 2)).astype(np.float32)
    content = converted(
        "probabilities",
        tf.TensorSpec((1, 12), tf.int32, "token_ids"),
        lambda ids: tf.nn.softmax(tf.cast(ids, tf.float32) @ weights),
    )
    release = write_release(
        tmp_path / "1", content, ("no", "yes"), ("text", "probabilities")
    )
    vocabulary.write(release / "mobile", tokenizer)
    with demo_pages.opened(browser, release, model=Reader(release)) as state:
        assert state == ""
        for text in HARD_TEXTS:
            if not text.strip() or "\r" in text:
                continue  # The form refuses it; a text area has no such end.
            shown = demo_pages.ask(
                browser,
                f'document.getElementById("text").value = {json.dumps(text)};',
            )
            assert shown["difference"] < 1e-6, text
            assert shown["phone"].count(" %") == 2


@pytest.mark.slow
def test_a_sequence_has_a_field_for_each_step(tmp_path, browser) -> None:
    class Sums:
        def dtypes(self, signature: str) -> dict[str, np.dtype]:
            return dict.fromkeys(("a", "b", "c"), np.dtype("float32"))

        def predict(self, signature: str, inputs: Any) -> dict[str, Any]:
            parts = [
                (10**place) * inputs[name] for place, name in enumerate("abc")
            ]
            return {"score": sum(parts)[:, 1] - sum(parts)[:, 0]}

    content = converted(
        "score", tf.TensorSpec((1, 2, 3), tf.float32, "features"),
        lambda x: tf.reduce_sum((x[:, 1] - x[:, 0]) * [[1.0, 10.0, 100.0]], 1),
    )  # fmt: skip
    release = write_release(tmp_path / "1", content, (), ("a", "score"))
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


@pytest.mark.slow
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


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.mark.slow
def test_a_file_with_a_state_gets_a_plain_sentence(
    tmp_path, content, browser
) -> None:
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    graph.tensors[graph.outputs[0]].isVariable = True
    packed = pack(model)
    release = write_release(tmp_path / "1", packed)
    with demo_pages.opened(browser, release, model=Doubler()) as state:
        assert "it keeps a state between calls" in state
        browser.complaints.clear()


def pack(model: Any) -> bytes:
    """Returns the bytes of a TFLite model."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
