"""A headless Chromium for tests, driven over the DevTools protocol through a pipe: no port, no client library.

Messages are JSON, each ended by a zero byte; the browser reads them on descriptor 3 and answers on 4.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path
from typing import Any, Self

# .ci/browser looks for the same.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_APP = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
SECONDS = 30.0  # for any one answer
Message = dict[str, Any]


def find_browser() -> str | None:
    """Return `$NIAH_BROWSER`, else the first browser on the path, else Chrome where macOS keeps it."""
    if named := os.environ.get("NIAH_BROWSER"):
        return named
    programs = (shutil.which(name) for name in NAMES)
    mac_app = str(MAC_APP) if MAC_APP.is_file() else None
    return next(filter(None, programs), mac_app)


class Browser:
    """One page of a headless browser; what it logs, throws and asks the network for is kept."""

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, self._write = _pipe()
        self._read, from_browser = _pipe()
        arguments = [
            *(program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}"),
            *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
            *("--no-first-run", "--disable-background-networking", "about:blank"),
        ]
        quiet = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
        pipes = [(os.POSIX_SPAWN_DUP2, to_browser, 3), (os.POSIX_SPAWN_DUP2, from_browser, 4)]
        self._process = os.posix_spawn(
            program, arguments, os.environ, file_actions=[quiet, *pipes], setpgroup=0
        )
        os.close(to_browser)
        os.close(from_browser)
        self._pending = b""
        self._count = 0
        self._session: str | None = None
        self.logged: list[str] = []
        self.requested: list[str] = []
        self._events: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._write)
        os.close(self._read)
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def call(self, method: str, **parameters: object) -> Message:
        """The result of one protocol command."""
        self._count += 1
        request: Message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            request["sessionId"] = self._session
        os.write(self._write, json.dumps(request).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._count:
                assert "error" not in message, f"{method}: {message['error']}"
                result: Message = message["result"]
                return result

    def open(self, address: str) -> None:
        """Go to an address, and wait until it has loaded."""
        for each in ("about:blank", address):  # so that a new hash alone is a new page, too
            self._events.clear()
            self.call("Page.navigate", url=each)
            while "Page.loadEventFired" not in self._events:
                self._next()

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Screen size in CSS pixels (a phone below 500), and colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, file: Path, *, whole: bool = True) -> None:
        """The page as PNG, all of it or what the screen shows."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _next(self) -> Message:
        deadline = time.monotonic() + SECONDS
        while b"\0" not in self._pending:
            ready, _, _ = select.select([self._read], [], [], deadline - time.monotonic())
            assert ready, "the browser does not answer"
            part = os.read(self._read, 2**16)
            assert part, "the browser has ended"
            self._pending += part
        text, _, self._pending = self._pending.partition(b"\0")
        message: Message = json.loads(text)
        self._note(message)
        return message

    def _note(self, message: Message) -> None:
        method, content = message.get("method", ""), message.get("params", {})
        self._events.append(method)
        if method == "Runtime.exceptionThrown":
            self.logged.append(json.dumps(content["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.logged.append(json.dumps(content["args"]))
        elif method == "Log.entryAdded":
            self.logged.append(content["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requested.append(content["request"]["url"])


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are not 3 or 4, which the browser's own will be."""
    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]
    for end in low:
        os.close(end)
    return high[0], high[1]
