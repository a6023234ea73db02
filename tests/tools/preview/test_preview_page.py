"""The page in a real browser."""

import shutil
import time

import numpy as np
import pytest

from tests.fusion.stream.test_publisher import until
from tests.tools.preview.preview_rig import Show, colour_of, serving

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install selenium")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="needs a browser: apt-get install chromium chromium-driver"
)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1200,800",
)
PIXEL = """
const canvas = document.getElementById(arguments[0]);
const data = canvas.getContext("2d").getImageData(canvas.width >> 1, canvas.height >> 1, 1, 1).data;
return [Number(canvas.dataset.seq), canvas.width, canvas.height, data[2], data[1], data[0]];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    driver.set_page_load_timeout(30)
    driver.set_script_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, tmp_path):
    """A browser on the page of a running show."""
    place = f"ipc://{tmp_path}/s"
    with Show(place) as show, serving(place) as port:
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: shown(browser) is not None, 30)
        yield browser, show
        browser.get("about:blank")


def shown(browser):
    """The number of the picture on the canvas; None before the first."""
    seq = browser.execute_script("return document.getElementById('fused').dataset.seq")
    return None if seq is None else int(seq)


def text(browser, name):
    return browser.execute_script("return document.getElementById(arguments[0]).textContent", name)


def test_the_canvas_shows_the_pictures_pixels(page):
    browser, _ = page
    for _ in range(5):
        seq, width, height, *colour = browser.execute_script(PIXEL, "fused")
        assert (width, height) == (160, 120)
        assert np.abs(np.array(colour) - colour_of(seq)).max() <= 6
        until(lambda seq=seq: shown(browser) > seq)
    assert browser.execute_script(PIXEL, "exposure-0")[3:] == pytest.approx([40] * 3, abs=4)
    assert browser.execute_script(PIXEL, "exposure-1")[3:] == pytest.approx([220] * 3, abs=4)
    assert browser.execute_script(PIXEL, "motion")[3:] == pytest.approx([120] * 3, abs=4)
    below = browser.execute_script("return document.getElementById('motion').parentElement.textContent")
    assert below == "Motion12.5 % newest exposure alone, shift 1.5, -0.3 px"


def test_the_page_tells_of_the_stream(page):
    browser, _ = page
    until(lambda: text(browser, "rate").endswith("fps"))
    assert text(browser, "state").startswith("live")
    assert text(browser, "gap") == "4.0 EV"
    assert text(browser, "verdict") == "predicted"
    assert text(browser, "drops") == "1"
    assert text(browser, "size") == "160 × 120"
    assert text(browser, "model") == "abababab"
    assert text(browser, "legend") == "lightness 1.3 msnetwork 13.5 ms"
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_slow_browser_shows_the_newest_picture(page):
    """Two seconds of work in the page's only thread while pictures go by: soon after, it shows the newest."""
    browser, show = page
    before = shown(browser)
    browser.execute_script("const end = performance.now() + 2000; while (performance.now() < end);")
    now = show.seq
    assert now - before > 6  # twice as many as are drawn below
    drawn = """
    const done = arguments[0], canvas = document.getElementById("fused"), seen = [];
    new MutationObserver(() => {
      seen.push(Number(canvas.dataset.seq));
      if (seen.length === 3) done(seen);
    }).observe(canvas, { attributeFilter: ["data-seq"] });
    """
    assert browser.execute_async_script(drawn)[2] >= now


def test_pausing_stops_the_picture_and_the_sending(page):
    browser, show = page
    browser.find_element("id", "pause").click()
    until(lambda: "exposure/0" not in show.wanted)
    time.sleep(0.3)
    still = shown(browser)
    assert text(browser, "state") == "paused"
    time.sleep(0.5)
    assert shown(browser) == still
    browser.find_element("id", "pause").click()
    until(lambda: shown(browser) > still)


def test_standing_still_is_said_and_forgotten(page):
    browser, show = page
    show.still.set()
    until(lambda: text(browser, "notice").startswith("No frames since"), 10)
    assert text(browser, "state") == "no frames"
    before = shown(browser)
    show.still.clear()
    until(lambda: shown(browser) > before and text(browser, "notice") == "", 10)


def test_the_page_comes_back_when_the_server_does(browser, tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Show(place):
        with serving(place) as port:
            browser.get(f"http://127.0.0.1:{port}/")
            until(lambda: shown(browser) is not None, 30)
        until(lambda: text(browser, "state") == "reconnecting", 10)
        before = shown(browser)
        with serving(place, port=port):
            until(lambda: shown(browser) > before, 15)
        browser.get("about:blank")


def test_a_token_opens_page_stream_and_snapshot(browser, tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Show(place), serving(place, token="s3cret") as port:
        browser.get(f"http://127.0.0.1:{port}/?token=s3cret")
        until(lambda: shown(browser) is not None, 30)
        assert browser.find_element("id", "snapshot").get_attribute("href").endswith("/snapshot.png?token=s3cret")
        browser.get("about:blank")
