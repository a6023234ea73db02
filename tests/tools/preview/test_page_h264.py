"""H.264 in a real browser, which must show what JPEG shows."""

import base64
import math

import cv2
import numpy as np
import pytest

from tests.fusion.stream.test_publisher import until
from tests.tools.preview.browser import click, complaints, needs_browser, open_browser, press, shown, text
from tests.tools.preview.firefox import Firefox
from tests.tools.preview.preview_rig import Show, get, serving

pytest.importorskip("av", reason="needs PyAV: pip install av")
pytestmark = [needs_browser, pytest.mark.full]
WIDTH, HEIGHT = 640, 360
LEAST_PSNR = 36.0


def picture(seq):
    """Shapes and texture that move, with all colours; BGR."""
    x, y = np.meshgrid(np.arange(WIDTH) + 3 * seq, np.arange(HEIGHT))
    planes = [128 + 100 * np.sin(x / 40), 128 + 90 * np.sin((x + y) / 55), 128 + 90 * np.cos((y - x) / 70)]
    drawn = np.rint(np.stack(planes, -1)).astype(np.uint8)
    cv2.circle(drawn, (100 + 7 * seq % 400, 180), 60, (40, 40, 230), -1, cv2.LINE_AA)
    cv2.putText(drawn, f"{seq:05d}", (380, 300), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255), 4, cv2.LINE_AA)
    return drawn


@pytest.fixture(scope="module")
def show(tmp_path_factory):
    place = f"ipc://{tmp_path_factory.mktemp('h264')}/s"
    with Show(place, picture, 0.05), serving(place) as port:
        yield port


def screen(browser):
    """The picture that is shown large (BGR), and its number."""
    seq, url = browser.execute_script(
        "const canvas = document.getElementById('screen'); return [canvas.dataset.seq, canvas.toDataURL('image/png')]"
    )
    return int(seq), cv2.imdecode(np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)


def psnr(one, other):
    return 10 * math.log10(255**2 / np.mean((one.astype(float) - other) ** 2))


def shown_topic(browser):
    return browser.execute_script("return document.getElementById('screen').dataset.topic")


def sent_as(browser):
    return text(browser, "codec").split(",")[0]


def open_page(browser, port, name="127.0.0.1"):
    browser.get(f"http://{name}:{port}/")
    until(lambda: shown(browser) is not None, 30)


@pytest.fixture
def page(browser, show):
    open_page(browser, show)
    yield browser
    browser.execute_script("localStorage.clear()")
    browser.get("about:blank")


def qualities(browser, count=5):
    """PSNR of pictures shown, with what was published; colour's mean errors."""
    found, errors = [], []
    for _ in range(count):
        before = shown(browser)
        until(lambda before=before: shown(browser) != before)
        seq, drawn = screen(browser)
        assert drawn.shape == (HEIGHT, WIDTH, 3)
        found.append(psnr(drawn, picture(seq)))
        errors.append((drawn.astype(float) - picture(seq)).mean((0, 1)))
    return found, np.abs(np.mean(errors, 0)).max()


def test_h264_shows_what_jpeg_shows(page):
    until(lambda: sent_as(page) == "H.264")
    video, video_error = qualities(page)
    click(page, "codec")
    until(lambda: sent_as(page) == "JPEG")
    jpeg, jpeg_error = qualities(page)
    print(f"\nPSNR of H.264 {video}, of JPEG {jpeg}; mean error {video_error:.2f}, {jpeg_error:.2f}")
    assert min(video) > LEAST_PSNR
    assert min(video) > min(jpeg) - 3
    assert video_error < 1.0, "no shift of brightness or colour"
    click(page, "codec")
    until(lambda: sent_as(page) == "H.264")
    assert complaints(page) == []


def test_the_choice_is_kept_by_the_browser(page, show):
    until(lambda: sent_as(page) == "H.264")
    click(page, "codec")
    until(lambda: sent_as(page) == "JPEG")
    open_page(page, show)
    until(lambda: sent_as(page) == "JPEG")
    assert text(page, "codec-lack") == ""


def test_a_paused_page_saves_the_frame_that_is_seen(page, show):
    until(lambda: sent_as(page) == "H.264")
    for _ in range(3):
        press(page, " ")
        until(lambda: text(page, "state") == "paused")
        page.execute_async_script("setTimeout(arguments[0], 300)")
        seq, drawn = screen(page)
        path = page.find_element("id", "snapshot").get_attribute("href").partition(f":{show}")[2]
        status, png = get(show, path)
        assert status == 200, png
        saved = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(saved, picture(seq))
        assert psnr(saved, drawn) > LEAST_PSNR
        press(page, " ")
        until(lambda seq=seq: shown(page) > seq)


def test_views_and_split_are_shown_from_h264(page):
    until(lambda: sent_as(page) == "H.264")
    for key, topic in (("2", "exposure/0"), ("4", "motion"), ("1", "fused")):
        press(page, key)
        until(
            lambda topic=topic: page.execute_script("return document.getElementById('screen').dataset.topic") == topic
        )
    press(page, "s")
    until(lambda: text(page, "label-right").startswith("Long"))
    _, drawn = screen(page)
    assert drawn[HEIGHT // 2, WIDTH * 3 // 4].tolist() == pytest.approx([220] * 3, abs=4)
    press(page, "s")
    assert sent_as(page) == "H.264"


def broken_at_start(port, tmp_path, script, name="127.0.0.1"):
    """A browser of its own on the page, in which `script` runs before the page's own."""
    browser = open_browser(tmp_path / "profile")
    if isinstance(browser, Firefox):
        browser.quit()
        pytest.skip("needs Chromium's protocol")
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    open_page(browser, port, name)
    return browser


@pytest.mark.full
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("delete window.VideoDecoder;", "this browser has no WebCodecs"),
        ("VideoDecoder.isConfigSupported = async () => ({ supported: false });", "this browser does not decode it"),
        ("Object.defineProperty(window, 'isSecureContext', { value: false });", "only over https or from localhost"),
        ("VideoDecoder.prototype.configure = () => { throw new Error('no'); };", "could not be decoded: no"),
        (
            """const decode = VideoDecoder.prototype.decode; let count = 0;
            VideoDecoder.prototype.decode = function(chunk) {
              const { type, timestamp } = chunk, data = new Uint8Array(99);
              const broken = new EncodedVideoChunk({ type, timestamp, data });
              decode.call(this, ++count > 40 ? broken : chunk);
            };""",
            "could not be decoded",
        ),
        ("VideoDecoder.prototype.decode = () => {};", "the decoder gave no picture"),
    ],
)
def test_where_h264_cannot_be_shown_jpeg_is_and_the_page_says_why(show, tmp_path, script, words):
    browser = broken_at_start(show, tmp_path, script)
    try:
        until(lambda: words in text(browser, "codec-lack"), 30)
        until(lambda: sent_as(browser) == "JPEG")
        before = shown(browser)
        until(lambda: shown(browser) > before + 3)
        assert browser.find_element("id", "codec").get_attribute("disabled")
    finally:
        browser.quit()


def test_a_page_that_is_opened_while_the_camera_stands_still_shows_the_last_picture(browser, tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Show(place, picture, 0.05) as show, serving(place) as port:
        open_page(browser, port)
        until(lambda: sent_as(browser) == "H.264")
        show.still.set()
        until(lambda: shown(browser) == show.seq)
        open_page(browser, port)  # the only page, so that for a moment nobody looks
        until(lambda: sent_as(browser) == "H.264")
        seq, drawn = screen(browser)
        assert seq == show.seq
        assert psnr(drawn, picture(seq)) > LEAST_PSNR
        browser.get("about:blank")
