"""Zebra, peaking, false colour, split, pause and save: what the page draws over the picture, and beside it."""

import time

import cv2
import numpy as np
import pytest

from tests.fusion.stream.test_publisher import until
from tests.tools.preview.browser import clear_size, click, colours, needs_browser, press, rests, set_size, shown, text
from tests.tools.preview.preview_rig import Show, colour_of, get, serving

pytestmark = [needs_browser, pytest.mark.full]
DARK, BRIGHT = 60, 250
MIDDLE = (0.5, 0.5)


def chart(_seq):
    """Left half dark, right half nearly white. uint8, 160 x 120."""
    pixels = np.full((120, 160, 3), DARK, np.uint8)
    pixels[:, 80:] = BRIGHT
    return pixels


@pytest.fixture
def page(browser, tmp_path):
    """A browser on a page that shows the chart."""
    place = f"ipc://{tmp_path}/s"
    with Show(place, chart) as show, serving(place) as port:
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: shown(browser) is not None, 30)
        yield browser, show, port
        browser.get("about:blank")


def pressed(browser, name):
    return browser.find_element("id", name).get_attribute("aria-pressed") == "true"


def grid(x0, x1, count=48):
    return [(x0 + (x1 - x0) * i / count, 0.3 + 0.4 * j / count) for i in range(count) for j in range(count)]


def drawn(browser, places):
    """Colours at `places`, of a picture that came after now."""
    before = shown(browser)
    until(lambda: shown(browser) > before + 1)
    return np.array(colours(browser, *places))


def test_zebra_stripes_what_is_too_bright_and_nothing_else(page):
    browser, *_ = page
    press(browser, "z")
    assert pressed(browser, "zebra")
    bright = drawn(browser, grid(0.6, 0.9))[:, 0]
    assert 0.3 < np.mean(bright < 40) < 0.7, "half of it is stripes"
    assert np.mean(np.abs(bright - BRIGHT) < 8) > 0.3
    assert np.abs(drawn(browser, grid(0.1, 0.4)) - DARK).max() < 8
    press(browser, "z")
    assert np.abs(drawn(browser, grid(0.6, 0.9)) - BRIGHT).max() < 8


def test_peaking_colours_the_edge_alone(page):
    browser, *_ = page
    press(browser, "p")
    edge = drawn(browser, [(0.5, y / 10) for y in range(2, 9)])
    assert np.all(edge[:, 0] > 200)
    assert np.all(edge[:, 1] < 80)
    flat = drawn(browser, grid(0.1, 0.4) + grid(0.6, 0.9))
    assert np.abs(flat - flat[:, :1]).max() < 8, "grey, as it was"


def test_false_colour_has_the_colours_of_its_legend(page):
    browser, *_ = page
    press(browser, "f")
    dark, bright = drawn(browser, [(0.25, 0.5), (0.75, 0.5)])
    assert np.abs(dark - DARK).max() < 8, "24 % of luma is left grey"
    assert list(bright) == [0xEA, 0xD4, 0x3C], "98 % of luma is nearly white"
    assert "near white" in text(browser, "legend-false")


def test_split_shows_fused_and_an_exposure_beside_the_line(page):
    browser, *_ = page
    press(browser, "s")
    left, right = drawn(browser, [(0.25, 0.5), (0.75, 0.5)])
    assert np.abs(left - DARK).max() < 8
    assert np.abs(right - 220).max() < 8, "the long exposure of the show"
    assert text(browser, "label-right").startswith("Long")
    browser.execute_script(
        "const line = document.getElementById('split-line');"
        "for (let i = 0; i < 20; i++) line.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));"
    )
    assert browser.find_element("id", "split-line").get_attribute("aria-valuenow") == "90"
    assert np.abs(drawn(browser, [(0.75, 0.5)]) - BRIGHT).max() < 8, "the line went past it"
    browser.execute_script("document.getElementById('exposure-0').click()")
    assert np.abs(drawn(browser, [(0.95, 0.5)]) - 40).max() < 8, "now the short one"
    press(browser, "1")
    assert np.abs(drawn(browser, [(0.95, 0.5)]) - BRIGHT).max() < 8


def test_the_loupe_shows_true_pixels_and_hides_only_what_it_covers(browser, tmp_path):
    place = f"ipc://{tmp_path}/s"
    ramp = np.repeat(np.tile(np.arange(1600) % 250, (900, 1)).astype(np.uint8)[..., None], 3, axis=2)
    with Show(place, lambda _seq: ramp, 0.2), serving(place) as port:
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: shown(browser) is not None, 30)
        press(browser, "l")
        until(lambda: text(browser, "loupe-label") == "Fused 1:1 at 800, 450", 30)
        side = browser.execute_script("return document.getElementById('loupe-canvas').width")
        until(lambda: colours(browser, MIDDLE, canvas="loupe-canvas")[0] == [800 % 250] * 3, 30)
        places = [((column + 0.5) / side, 0.5) for column in range(side)]
        across = [red for red, _, _ in colours(browser, *places, canvas="loupe-canvas")]
        assert across == [(800 - side // 2 + column) % 250 for column in range(side)], "pixel for pixel, lossless"
        picture = cv2.imdecode(np.frombuffer(browser.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)
        box = "const at = document.getElementById(arguments[0]).getBoundingClientRect();"
        left, top, right, bottom = browser.execute_script(
            box + "return [at.left, at.top, at.right, at.bottom]", "loupe-box"
        )
        above = picture[int(browser.execute_script(box + "return at.top", "screen")) + 4 : int(top) - 4]
        assert above[:, int(left) + 4 : int(right) - 4].std() > 20, "the picture goes on above the loupe"
        assert bottom > top
        for _ in range(10):
            press(browser, "ArrowRight")
        until(lambda: text(browser, "loupe-label") == "Fused 1:1 at 1120, 450", 30)
        browser.get("about:blank")


def test_the_loupe_of_a_paused_page_shows_the_frame_that_is_seen(browser, tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Show(place) as show, serving(place) as port:
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: shown(browser) is not None, 30)
        press(browser, " ")
        seen, before = rests(browser), show.seq
        until(lambda: show.seq > before + 5)
        press(browser, "l")
        blue, green, red = colour_of(seen)
        until(lambda: colours(browser, MIDDLE, canvas="loupe-canvas")[0] == [red, green, blue], 30)
        browser.get("about:blank")


def test_each_picture_can_be_shown_large(page):
    browser, *_ = page
    for key, level in (("2", 40), ("3", 220), ("4", 120), ("1", DARK)):
        press(browser, key)
        assert np.abs(drawn(browser, [(0.25, 0.5)]) - level).max() < 8, key


def test_what_is_saved_after_a_pause_is_the_frame_that_is_seen(browser, tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Show(place) as show, serving(place) as port:
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: shown(browser) is not None, 30)
        for _ in range(3):
            press(browser, " ")
            seen, before = rests(browser), show.seq
            until(lambda before=before: show.seq > before + 5)
            link = browser.find_element("id", "snapshot").get_attribute("href")
            status, body = get(port, link.partition(str(port))[2])
            assert status == 200
            saved = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
            assert np.abs(saved[0, 0].astype(int) - colour_of(seen)).max() == 0
            press(browser, " ")
            until(lambda seen=seen: shown(browser) > seen)
        assert "seq" not in browser.find_element("id", "snapshot").get_attribute("href")
        browser.get("about:blank")
        assert get(port, f"/snapshot.png?stream=nobody&seq={seen}")[0] == 410


def test_drops_say_why_and_what_helps(page):
    browser, *_ = page
    explain = """
    const done = arguments[arguments.length - 1], [recent, ms] = arguments;
    import("./page/drops.js").then(({ explained }) => done(explained(recent, ms)));
    """
    quiet = {"captured": 300, "dropped": 0, "transitional": 0, "gaps": 0, "fused": 300, "seconds": 10}

    def words(changes, fusion_ms):
        answer = browser.execute_async_script(explain, {**quiet, **changes}, fusion_ms)
        return answer["words"], answer["help"]

    assert words({}, 12)[0].startswith("Nothing was dropped")
    said, helps = words({"dropped": 150, "fused": 150}, 66)
    assert "66 ms" in said
    assert "33 ms" in said
    assert "a lower number of network lines" in helps
    assert "for a moment" in words({"dropped": 2}, 12)[0]
    assert "driver" in words({"dropped": 2}, 12)[0], "who lost them is not known"
    assert "driver" not in words({"dropped": 2, "byCamera": 0}, 12)[0]
    assert "before livemef had them" in words({"dropped": 2, "byCamera": 1}, 12)[0]
    assert "50 %" in words({"dropped": 150}, 12)[0]
    assert "too little time" in words({"dropped": 150}, 12)[0]
    assert words({"dropped": 50, "restarted": ["fusion"]}, 12)[0].startswith("fusion started again")
    assert "did not reach" in words({"gaps": 4}, 12)[0]
    assert "exposure changes" in words({"transitional": 90}, 12)[0]
    click(browser, "drops")
    assert "lost or left out before fusion" in text(browser, "drops-rows")


SIZES = ((390, 844), (844, 390), (320, 640), (768, 1024), (1400, 900), (3840, 2160))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_nothing_covers_or_leaves_the_page_at_any_size(page, size):
    """Against the width that was set: on a phone the browser makes innerWidth as wide as what overflows."""
    browser, *_ = page
    set_size(browser, *size)
    try:
        found = browser.execute_script(
            """
        const box = name => document.getElementById(name).getBoundingClientRect();
        const parts = ["state", "views", "tools", "actions", "picture"].map(name => [name, box(name)]);
        const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
          Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
        const covered = [];
        for (const [i, [a, boxA]] of parts.entries()) for (const [b, boxB] of parts.slice(i + 1)) {
          if (overlap(boxA, boxB)) covered.push([a, b]);
        }
        const wide = parts.filter(([, at]) => at.left < 0 || at.right > arguments[0]).map(([name]) => name);
        const buttons = [...document.querySelectorAll("button, .button")].filter(one => one.offsetParent)
          .map(one => [one.id || one.textContent, one.offsetHeight]);
        const stream = document.getElementById("legend");
        stream.scrollIntoView();
        const at = stream.getBoundingClientRect();
        const root = document.documentElement;
        return [covered, wide, root.scrollWidth - arguments[0], buttons, at.top < innerHeight && at.bottom > 0];
        """,
            size[0],
        )
    finally:
        clear_size(browser)
    covered, wide, over, buttons, can_be_reached = found
    assert covered == []
    assert wide == []
    assert over <= 0
    assert can_be_reached
    least = 44 if size[0] < 861 else 24
    assert [one for one in buttons if one[1] < least] == []


@pytest.mark.parametrize("width", [1400, 1000])
def test_no_state_moves_the_picture(page, width):
    browser, show, _ = page
    until(lambda: text(browser, "state") == "live")
    top = "return document.getElementById('picture').getBoundingClientRect().top"
    set_size(browser, width, 900)
    for name in ("still", "record", "revision-item"):  # as on the page of a pipeline
        browser.execute_script("document.getElementById(arguments[0]).hidden = false", name)
    try:
        time.sleep(0.3)
        before = browser.execute_script(top)
        show.still.set()
        until(lambda: text(browser, "state") == "no frames", 30)
        assert browser.execute_script(top) == before
        browser.execute_script("document.getElementById('state').textContent = 'reconnecting'")
        assert browser.execute_script(top) == before
        words = "return ['bar', 'state'].map(name => document.getElementById(name).getBoundingClientRect().right)"
        bar, state = browser.execute_script(words)
        assert state <= bar
    finally:
        clear_size(browser)
