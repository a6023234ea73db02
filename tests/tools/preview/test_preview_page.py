"""The page in a real browser."""

import time

import numpy as np
import pytest

from tests.fusion.stream.test_publisher import until
from tests.tools.preview.browser import (
    PIXELS,
    click,
    colours,
    complaints,
    needs_browser,
    rests,
    shown,
    text,
)
from tests.tools.preview.preview_rig import Show, colour_of, get, serving
from tests.tools.preview.proxy_rig import proxying

pytestmark = needs_browser
MIDDLE = (0.5, 0.5)


@pytest.fixture
def page(browser, tmp_path):
    """A browser on the page of a running show."""
    place = f"ipc://{tmp_path}/s"
    with Show(place) as show, serving(place) as port:
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: shown(browser) is not None, 30)
        yield browser, show
        browser.get("about:blank")


def test_the_canvas_shows_the_pictures_pixels(page):
    browser, _ = page
    for _ in range(5):
        seq, width, height, [colour] = browser.execute_script(PIXELS, "screen", [MIDDLE])
        assert (width, height) == (160, 120)
        assert np.abs(np.array(colour[::-1]) - colour_of(seq)).max() <= 6
        until(lambda seq=seq: shown(browser) > seq)
    assert colours(browser, MIDDLE, canvas="exposure-0")[0] == pytest.approx([40] * 3, abs=4)
    assert colours(browser, MIDDLE, canvas="exposure-1")[0] == pytest.approx([220] * 3, abs=4)
    assert colours(browser, MIDDLE, canvas="motion")[0] == pytest.approx([120] * 3, abs=4)
    below = browser.execute_script("return document.getElementById('motion').closest('figure').textContent")
    assert below == "Mask12.5 % alone, shift 1.5, -0.3 px"


def test_the_page_tells_of_the_stream(page):
    browser, _ = page
    until(lambda: text(browser, "rate").endswith("fps"))
    assert text(browser, "state").startswith("live")
    assert text(browser, "gap") == "4.0 EV"
    assert text(browser, "verdict") == "predicted"
    assert int(text(browser, "drops").split()[0]) >= 1
    assert text(browser, "size") == "160 × 120"
    assert text(browser, "model") == "abababab"
    assert text(browser, "legend") == "lightness 1.3 msnetwork 13.5 ms"
    assert complaints(browser) == []


def test_the_scopes_are_drawn_from_the_real_exposures(page):
    browser, _ = page
    visible = "return !document.getElementById('fused-histogram')?.closest('figure').hidden"
    until(lambda: browser.execute_script(visible))
    until(lambda: "clip 0 %" in browser.execute_script("return document.getElementById('strip').textContent"))
    rows = browser.execute_script("""
    const canvas = document.getElementById("fused-waveform"), {width, height} = canvas;
    const data = canvas.getContext("2d").getImageData(width >> 1, 0, 1, height).data;
    return [...Array(height).keys()].filter(row => data[4 * row + 1] > 150).map(row => 1 - row / height);
    """)
    lumas = {round(0.0722 * b + 0.7152 * g + 0.2126 * r) / 255 for b, g, r in map(colour_of, range(16))}
    assert rows
    assert all(min(abs(row - luma) for luma in lumas) < 0.02 for row in rows), (
        "one line, where the flat picture's luma is"
    )


def test_a_slow_browser_shows_the_newest_picture(page):
    """Two seconds of work in the page's only thread while pictures go by: soon after, it shows the newest."""
    browser, show = page
    before = shown(browser)
    browser.execute_script("const end = performance.now() + 2000; while (performance.now() < end);")
    now = show.seq
    assert now - before > 6  # twice as many as are drawn below
    drawn = """
    const done = arguments[0], canvas = document.getElementById("screen"), seen = [];
    new MutationObserver(() => {
      seen.push(Number(canvas.dataset.seq));
      if (seen.length === 3) done(seen);
    }).observe(canvas, { attributeFilter: ["data-seq"] });
    """
    assert browser.execute_async_script(drawn)[2] >= now


def test_pausing_stops_the_picture_and_the_sending(page):
    browser, show = page
    click(browser, "pause")
    until(lambda: "exposure/0" not in show.wanted)
    still = rests(browser)
    time.sleep(0.5)
    assert shown(browser) == still
    click(browser, "pause")
    until(lambda: shown(browser) > still)


def test_standing_still_is_said_and_forgotten(page):
    browser, show = page
    show.still.set()
    until(lambda: text(browser, "notice").startswith("No frames since"), 30)
    assert text(browser, "state") == "no frames"
    before = shown(browser)
    show.still.clear()
    until(lambda: shown(browser) > before and text(browser, "notice") == "", 30)


def test_the_page_comes_back_when_the_server_does(browser, tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Show(place):
        with serving(place) as port:
            browser.get(f"http://127.0.0.1:{port}/")
            until(lambda: shown(browser) is not None, 30)
        until(lambda: text(browser, "state") == "reconnecting", 30)
        before = shown(browser)
        with serving(place, port=port):
            until(lambda: shown(browser) > before, 30)
        browser.get("about:blank")


def test_a_token_opens_page_stream_and_snapshot(browser, tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Show(place), serving(place, token="s3cret") as port:
        browser.get(f"http://127.0.0.1:{port}/?token=s3cret")
        until(lambda: shown(browser) is not None, 30)
        assert browser.find_element("id", "snapshot").get_attribute("href").endswith("/snapshot.png")
        assert "token" not in browser.current_url
        browser.get("about:blank")


def test_the_page_works_behind_a_proxy_that_put_it_below_a_path(browser, tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Show(place), serving(place) as port, proxying(port, "/cameras/roof/") as outside:
        browser.get(f"http://127.0.0.1:{outside}/cameras/roof/")
        until(lambda: shown(browser) is not None, 30)
        link = browser.find_element("id", "snapshot").get_attribute("href")
        assert link == f"http://127.0.0.1:{outside}/cameras/roof/snapshot.png"
        assert get(outside, "/cameras/roof/snapshot.png")[0] == 200
        assert complaints(browser) == []
        browser.get("about:blank")
