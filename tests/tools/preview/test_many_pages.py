"""Fifty real pages at once look at a running pipeline (marked slow).

Each has a profile of its own in one Chromium, which computes when the machine has nothing else to do: the fifty
people's machines are not the camera's.
"""

import os
import time

import pytest

from tests.fusion.stream.test_publisher import until
from tests.tools.preview.browser import CHROMEDRIVER, click, needs_browser, open_browser, shown, text, webdriver
from tests.tools.preview.run_rig import running
from tests.tools.preview.test_many_browsers import fused

pytestmark = [needs_browser, pytest.mark.slow, pytest.mark.timeout(1200)]
PAGES = 50
SECONDS = 8.0
LEAST_SHARE = 0.7
"""Of the frames fused without pages: what serves them computes on the same machine, so it is not held to be 1."""


def run_when_idle():
    """For a child process. Not by its nice value: as root Chromium sets that itself."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def open_pages(browser, url, count):
    """Window handles of `count` pages, each in a profile of its own; paused."""
    handles = []
    for _ in range(count):
        profile = browser.browser.create_user_context()
        handle = browser.browsing_context.create(type="window", user_context=profile)
        browser.switch_to.window(handle)
        browser.get(url)
        until(lambda: shown(browser) is not None, 60)
        click(browser, "pause")
        handles.append(handle)
    return handles


def on_each(browser, handles, action):
    found = []
    for handle in handles:
        browser.switch_to.window(handle)
        found.append(action(browser))
    return found


def fused_in(run, seconds):
    before = fused(run)
    time.sleep(seconds)
    return fused(run) - before


def test_fifty_pages_do_not_slow_the_pipeline(tmp_path):
    service = webdriver.ChromeService(CHROMEDRIVER, popen_kw={"preexec_fn": run_when_idle})
    with running(tmp_path, "--camera", "sim://?size=320x180&fps=10", "--motion", "off") as run:
        until(lambda: fused(run) >= 20, 60)
        browser = open_browser(tmp_path / "chromium", service=service, bidi=True)
        counts = {"nobody": 0, "H.264": 0, "JPEG": 0}
        try:
            handles = open_pages(browser, f"http://127.0.0.1:{run.page}/?token={run.token}", PAGES)
            for _ in range(2):
                for codec in ("H.264", "JPEG"):
                    counts["nobody"] += fused_in(run, SECONDS / 2)
                    before = on_each(browser, handles, shown)
                    on_each(browser, handles, lambda page: click(page, "pause"))
                    until(lambda codec=codec: text(browser, "codec").startswith(codec), 60)
                    counts[codec] += fused_in(run, SECONDS)
                    after = on_each(browser, handles, shown)
                    as_what = on_each(browser, handles, lambda page: text(page, "codec").split(",")[0])
                    assert set(as_what) == {codec}
                    drawn = sorted(b - a for a, b in zip(before, after, strict=True))
                    print(f"\n{codec}: frames between first and last picture seen by each: {drawn}")
                    assert drawn[0] > 0, "each drew pictures"
                    on_each(browser, handles, lambda page: (click(page, "codec"), click(page, "pause")))
        finally:
            browser.quit()
        restarts = {name: one["restarts"] for name, one in run.ask("GET", "/status")[1]["processes"].items()}
        print(f"\nfused in {2 * SECONDS:g} s: {counts}; restarts {restarts}")
        assert counts["H.264"] > LEAST_SHARE * counts["nobody"]
        assert counts["JPEG"] > LEAST_SHARE * counts["nobody"]
