"""A headless Chromium, driven over the pipes of its DevTools protocol."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 90.0  # For a page to load, or a script to end.
# Chromium reads commands from descriptor 3 and writes answers to 4. The two are
# first moved away from where they may be overwritten.
START = """
import fcntl, os, sys
commands = fcntl.fcntl(int(sys.argv[1]), fcntl.F_DUPFD, 20)
answers = fcntl.fcntl(int(sys.argv[2]), fcntl.F_DUPFD, 20)
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def path() -> str | None:
    """Returns the path of Chromium; None if it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A page of a running Chromium.

    Attributes:
        requests: The addresses that the page asked for since `open`.
        complaints: What the browser's console says since `open`, such as a
            breach of the Content-Security-Policy.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = os.fdopen(commands, "wb")
        self._answers = os.fdopen(answers, "rb", buffering=0)
        self._rest, self._number, self._session = b"", 0, ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask(
            "Target.attachToTarget", targetId=target, flatten=True
        )["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self._ask(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Opens a page; what it loads may still be on its way."""
        self.requests.clear()
        self.complaints.clear()
        self._ask("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """Returns the value of a script's promise, which JSON can hold.

        Raises:
            RuntimeError: If the script throws.
        """
        answer = self._ask(
            "Runtime.evaluate", expression=f"(async () => {{{script}}})()",
            awaitPromise=True, returnByValue=True,
        )  # fmt: skip
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def picture(
        self, file: Path, width: int = 1000, dark: bool = False
    ) -> None:
        """Writes a picture of the whole page as PNG."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" * dark}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=800,
            deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        shot = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """Ends the browser."""
        self._session = ""
        with contextlib.suppress(OSError):
            self._ask("Browser.close")
        self._commands.close()
        self._answers.close()

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and returns its result; notes events before it."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        self._commands.write(json.dumps(command).encode() + b"\0")
        self._commands.flush()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            message = self._next()
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self._note(message)
        raise TimeoutError(method)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = self._answers.read(1 << 16)
            if not part:
                raise OSError("Chromium has ended")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        facts = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
        elif event["method"] == "Log.entryAdded":
            self.complaints.append(facts["entry"]["text"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(facts["exceptionDetails"]))


@contextlib.contextmanager
def running(executable: str, home: Path) -> Iterator[Browser]:
    """Runs a Chromium whose profile is in `home`, while the block runs."""
    commands, to_commands = os.pipe()
    from_answers, answers = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(commands), str(answers), executable,
         "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-dev-shm-usage", "--disable-background-networking",
         f"--user-data-dir={home}", "--remote-debugging-pipe"],
        pass_fds=(commands, answers), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(commands)
    os.close(answers)
    try:
        browser = Browser(to_commands, from_answers)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()
