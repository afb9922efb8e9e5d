"""The page that runs a phone's file: its files, its server, its command."""

import base64
import contextlib
import hashlib
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import demo_releases
import pytest
import tensorflow as tf

from common.options import InputError
from common.serving import page_files, page_server
from common.serving.http_requests import Request

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "web"


@pytest.fixture(scope="module")
def content() -> bytes:
    return demo_releases.doubling()


@pytest.fixture
def release(tmp_path: Path, content: bytes) -> Path:
    return demo_releases.write_release(
        tmp_path / "toy" / "7", content, ("a", "b", "<c>")
    )


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
    with page_server.serving(
        pages, demo_releases.Doubler(), "127.0.0.1", 0
    ) as port:

        def ask(method: str, path: str, body: Any = None, **headers: str):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.status, response.headers, response.read()
            connection.close()
            return answer

        yield ask


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


def test_the_example_is_json_that_a_browser_reads(release, packages) -> None:
    example = release / "assets.extra" / "example.json"
    before = example.read_text()
    try:
        example.write_text('{"instances": [{"x": NaN, "name": "NaN"}]}')
        pages = page_files.contents(release, "", is_live=False)
        shown = json.loads(
            pages["release/example.json"], parse_constant=pytest.fail
        )
        assert shown == {"instances": [{"x": None, "name": "NaN"}]}
        example.write_text("{")
        with pytest.raises(InputError, match="must be whole"):
            page_files.contents(release, "", is_live=False)
    finally:
        example.write_text(before)


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
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert ask("PUT", "/page.json")[0] == 405


def test_no_other_sites_name_leads_to_the_page(release, packages) -> None:
    with asking(release) as ask:
        for host in ("localhost:8600", "LocalHost", "127.0.0.1:1", "[::1]:8"):
            assert ask("GET", "/page.json", Host=host)[0] == 200, host
        for host in ("other.example:8600", "127.0.0.1.other.example", "[", ""):
            assert ask("GET", "/page.json", Host=host)[0] in (400, 421), host
    pages = page_files.contents(release, "", is_live=True)
    shared = page_server.Page(pages, demo_releases.Doubler(), "0.0.0.0")
    request = Request("GET", "/page.json", {"host": "laptop.example"})
    assert shared.answer(request).status == 200


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
            ("/saved_model", b"", typed | {"Content-Length": "99999999"}, 413),
            ("/saved_model", right, typed | {"Host": "other.example"}, 421),
            ("/saved_model", b"", typed | {"Content-Length": "-1"}, 400),
        ):
            code, _, answer = ask("POST", path, content, **headers)
            assert code == status and json.loads(answer)["error"], content


def test_a_taken_port_is_one_line(release, packages) -> None:
    pages = page_files.contents(release, "", is_live=True)
    with (
        page_server.serving(
            pages, demo_releases.Doubler(), "127.0.0.1", 0
        ) as port,
        pytest.raises(InputError, match="--port must be free on 127"),
        page_server.serving(pages, demo_releases.Doubler(), "127.0.0.1", port),
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
    release = demo_releases.write_release(tmp_path / "1", content)
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
