"""A real browser, and what tests ask of the page in it."""

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.tools.preview.firefox import Firefox

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install selenium")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="needs a browser: apt-get install chromium chromium-driver"
)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1400,900",
)
PIXELS = """
const canvas = document.getElementById(arguments[0]), copy = document.createElement("canvas");
copy.width = canvas.width;
copy.height = canvas.height;
const gl = canvas.getContext("webgl2");
let data;
if (gl) {
  data = new Uint8Array(4 * canvas.width * canvas.height);
  gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, data);
} else {
  data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
}
const rgb = arguments[1].map(([x, y]) => {
  const column = Math.floor(x * canvas.width), row = Math.floor(y * canvas.height);
  const at = 4 * ((gl ? canvas.height - 1 - row : row) * canvas.width + column);
  return [data[at], data[at + 1], data[at + 2]];
});
return [Number(canvas.dataset.seq), canvas.width, canvas.height, rgb];
"""
"""[number of the picture, width, height, [red, green, blue] at each place]; a place is a share of width and height."""


def open_browser(folder: Path, service=None, bidi: bool = False) -> "webdriver.Chrome":
    """A new browser whose profile is in `folder`: Chromium, or what TEST_BROWSER names. bidi: to be driven by
    WebDriver BiDi as well.
    """
    if os.environ.get("TEST_BROWSER") == "firefox":
        return Firefox(folder)
    options = webdriver.ChromeOptions()
    options.enable_bidi = bidi
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=service or webdriver.ChromeService(CHROMEDRIVER))
    driver.set_page_load_timeout(30)
    driver.set_script_timeout(30)
    return driver


def set_size(browser, width: int, height: int) -> None:
    """The size of what the page sees, in CSS pixels; in Chromium touch below 900."""
    if isinstance(browser, Firefox):
        browser.set_size(width, height)
        return
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 900}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def clear_size(browser) -> None:
    """The window's own size again."""
    if isinstance(browser, Firefox):
        browser.set_size(1400, 900)
    else:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def make_as_new(browser) -> None:
    """Nothing of the tests before is left but what pages keep: no page or cookies, an empty console, the usual size."""
    browser.get("about:blank")
    if isinstance(browser, Firefox):
        browser.delete_all_cookies()
    else:
        browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    clear_size(browser)
    complaints(browser)


def shown(browser):
    """The number of the picture that is shown large; None before the first."""
    seq = browser.execute_script("return document.getElementById('screen').dataset.seq")
    return None if seq is None else int(seq)


def rests(browser, seconds: float = 0.7) -> int:
    """The number of the picture shown, once the page is paused and no other one has come for that time."""
    deadline, since, seen = time.monotonic() + 30, time.monotonic(), shown(browser)
    while text(browser, "state") != "paused" or time.monotonic() - since < seconds:
        assert time.monotonic() < deadline, "the picture does not rest"
        if shown(browser) != seen:
            since, seen = time.monotonic(), shown(browser)
        time.sleep(0.02)
    return seen


def text(browser, name: str) -> str:
    """Text of the element with that id."""
    return browser.execute_script("return document.getElementById(arguments[0]).textContent", name)


def click(browser, name: str) -> None:
    """Click on the element with that id, wherever the page is scrolled to."""
    browser.execute_script("document.getElementById(arguments[0]).click()", name)


def press(browser, key: str) -> None:
    """A key, while nothing has the focus."""
    sent = "new KeyboardEvent('keydown', {key: arguments[0], bubbles: true, cancelable: true})"
    browser.execute_script(f"document.activeElement.blur(); document.body.dispatchEvent({sent})", key)


def colours(browser, *places, canvas: str = "screen"):
    """Red, green, blue at each of `places` (shares of width and height) of a canvas."""
    return browser.execute_script(PIXELS, canvas, [list(place) for place in places])[3]


def complaints(browser) -> list:
    """What the browser's console says is wrong since the last call."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
