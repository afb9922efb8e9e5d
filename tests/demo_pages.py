"""What tests of the page share: the page of a release, asked in a browser."""

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from chromium import Browser

from common.mobile import litert
from common.release import saved_model
from common.serving import page_files, page_server

LOAD = """
const {ready} = await import("/page.js");
await ready.catch(() => null);
return document.getElementById("state").textContent;
"""
RUN = """
const {model} = await (await import("/page.js")).ready;
const answers = [];
for (const inputs of %s) answers.push(await model.run(inputs));
return answers.map((outputs) => Object.fromEntries(Object.entries(outputs)
  .map(([name, values]) => [name, Array.from(values)])));
"""
# Enters an input, asks, and waits until both have answered.
ASK = """
%s
document.getElementById("answers").replaceChildren();
document.getElementById("form").requestSubmit();
for (let tries = 0; tries < 600; tries++) {
  const state = document.getElementById("state").textContent;
  if (state) throw new Error(state);
  if (document.querySelector("#difference data")) break;
  await new Promise((done) => setTimeout(done, 50));
}
// An answer to an older question is not shown beside it.
await new Promise((done) => setTimeout(done, 200));
const sections = document.querySelectorAll("#answers > section").length;
if (sections !== 2) throw new Error(`${sections} sections`);
const text = (id) => document.getElementById(id).textContent;
return {phone: text("phone"), savedModel: text("saved-model"),
  difference: Number(document.querySelector("#difference data").value)};
"""

# The same where the phone's file answers alone.
ASK_PHONE = """
document.getElementById("form").requestSubmit();
while (!document.getElementById("phone")) {
  await new Promise((done) => setTimeout(done, 50));
}
return document.body.textContent;
"""
# Takes the example image of the release.
EXAMPLE = """
document.getElementById("example").click();
while (!document.querySelector("canvas")) {
  await new Promise((done) => setTimeout(done, 50));
}
"""

# The input that the page has prepared, by name.
VALUES = """
const {kind} = await (await import("/page.js")).ready;
return Object.fromEntries(Object.entries(kind.values())
  .map(([name, values]) => [name, Array.from(values)]));
"""
DROP = """
document.querySelectorAll(".drop canvas").forEach((canvas) => canvas.remove());
const bytes = Uint8Array.from(atob("%s"), (x) => x.charCodeAt(0));
const dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([bytes], "a.png"));
document.querySelector(".drop").dispatchEvent(
  new DragEvent("drop", {dataTransfer, cancelable: true}));
while (!document.querySelector(".drop canvas")) {
  await new Promise((done) => setTimeout(done, 50));
}
"""


def drop(content: bytes) -> str:
    """Returns a script for `ask` that drops an image file."""
    return DROP % base64.b64encode(content).decode()


@contextlib.contextmanager
def opened(
    browser: Browser, release: Path, variant: str = "", model: Any = None
) -> Iterator[str]:
    """Serves a release's page and opens it; yields what the page says.

    Args:
        browser: The browser.
        release: The release's directory.
        variant: The name of the TFLite file; "" for the chosen one.
        model: Answers as the SavedModel; by default it is the release's.
    """
    pages = page_files.contents(release, variant, is_live=True)
    model = model or saved_model.Model(release)
    with page_server.serving(pages, model, "127.0.0.1", 0) as port:
        address = f"http://127.0.0.1:{port}/"
        browser.open(address)
        yield browser.run(LOAD)
        # Nothing is asked of any other host, nor refused by the policy.
        assert browser.requests
        assert all(
            url.startswith((address, "data:")) for url in browser.requests
        )
        # Chromium tells so where there is no graphics card.
        complaints = {*browser.complaints} - {"No available adapters."}
        assert not complaints


def check_runs(
    browser: Browser, file: Path, inputs: Mapping[str, np.ndarray]
) -> None:
    """Asserts that the page's file answers as LiteRT's interpreter, twice.

    Args:
        browser: It shows the page of the file.
        file: The TFLite file.
        inputs: Real inputs by name, `(num, ...)`.
    """
    rows = [
        {name: row.ravel().tolist() for name, row in example.items()}
        for example in litert.examples(inputs)
    ]
    first, second = (browser.run(RUN % json.dumps(rows)) for _ in range(2))
    assert first == second
    expected = litert.Runner(file.read_bytes())
    outputs = expected(**inputs)
    for name, values in outputs.items():
        actual = np.array([row[name] for row in first], np.float64)
        wanted = values.reshape(actual.shape)
        is_exact = bool(expected.outputs[name]["quantization"][0])
        limit = 0 if is_exact else 1e-5 * max(1, np.abs(wanted).max())
        assert np.abs(actual - wanted).max() <= limit, name


def ask(browser: Browser, script: str) -> dict[str, Any]:
    """Returns what the page shows after a script has entered an input.

    Returns:
        The texts `phone` and `savedModel`, and the greatest `difference`.
    """
    return browser.run(ASK % script)
