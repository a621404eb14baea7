"""A page in headless Chromium, driven through its DevTools protocol: clicks, keys, touches, screenshots, and what it asked for."""

import asyncio
import base64
import io
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from PIL import Image

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))), None)
_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-background-networking --disable-sync "
    "--disable-component-update --disable-extensions --remote-debugging-port=0 --remote-allow-origins=* --force-color-profile=srgb"
)


class Browser:
    """One tab. Coordinates are CSS pixels of the window."""

    def __init__(self, port: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.number = 0
        self.events: list[dict[str, Any]] = []
        self.loop.run_until_complete(self._connect(port))
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    async def _connect(self, port: int) -> None:
        self.session = aiohttp.ClientSession()
        async with self.session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            target = next(found for found in await answer.json() if found["type"] == "page")
        self.socket = await self.session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        return self.loop.run_until_complete(asyncio.wait_for(self._call(method, values), 60))

    async def _call(self, method: str, values: dict[str, Any]) -> dict[str, Any]:
        self.number += 1
        await self.socket.send_json({"id": self.number, "method": method, "params": values})
        while True:
            message = await self.socket.receive_json()
            if message.get("id") == self.number:
                assert "error" not in message, (method, message)
                return message["result"]
            self.events.append(message)

    def close(self) -> None:
        self.loop.run_until_complete(self.socket.close())
        self.loop.run_until_complete(self.session.close())
        self.loop.close()

    def evaluate(self, expression: str) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, page: Path, width: int = 1200, height: int = 800, **emulation: Any) -> None:
        """Open a page at a size, and wait until it says that it is ready."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False, **emulation)
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        for _ in range(400):
            if self.evaluate("document.documentElement?.dataset.ready === 'true'"):
                return self.settle()
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.evaluate('document.body.innerText')[:500]}; {self.complaints()}")

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 30))))")

    def mouse(self, kind: str, x: float, y: float, **values: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **values)

    def click(self, x: float, y: float) -> None:
        self.drag((x, y), (x, y))
        time.sleep(0.4)  # else two clicks are a double click

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 4) -> None:
        self.mouse("mousePressed", *start, button="left", clickCount=1)
        for step in range(1, steps + 1):
            at = [a + (b - a) * step / steps for a, b in zip(start, end, strict=True)]
            if start != end:
                self.mouse("mouseMoved", *at, button="left", buttons=1)
        self.mouse("mouseReleased", *end, button="left", clickCount=1)
        self.settle()

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)])

    def key(self, key: str, text: str = "") -> None:
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.settle()

    def screenshot(self, path: Path | None = None) -> np.ndarray:
        """Return the window as (row, column, red green blue), and write it where a path is given."""
        content = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path:
            path.write_bytes(content)
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    def box(self, element: str) -> tuple[float, float, float, float]:
        """Return left, top, width and height of an element by id."""
        found = self.evaluate(
            f"(({{x, y, width, height}}) => [x, y, width, height])(document.getElementById('{element}').getBoundingClientRect())"
        )
        return tuple(found)

    def text(self, element: str) -> str:
        return self.evaluate(f"document.getElementById('{element}').innerText")

    def requests(self) -> list[str]:
        return [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[Any]:
        """Return what went to the console, and scripts that failed."""
        return [
            e["params"] for e in self.events if e["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        ]


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start Chromium with a profile in `folder`; it ends with the block."""
    assert CHROMIUM
    process = subprocess.Popen(
        [CHROMIUM, *_FLAGS.split(), f"--user-data-dir={folder}", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        port = folder / "DevToolsActivePort"
        for _ in range(600):
            if port.is_file() and port.read_text(encoding="utf-8").count("\n"):
                break
            time.sleep(0.05)
        tab = Browser(int(port.read_text(encoding="utf-8").splitlines()[0]))
        try:
            yield tab
        finally:
            tab.close()
    finally:
        process.terminate()
        process.wait(20)
