"""Each kind of drop, caused on a running pipeline: the page must name it."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.fusion.stream.test_publisher import until
from tests.tools.preview.browser import click, needs_browser, shown, text
from tests.tools.preview.run_rig import running

pytestmark = [needs_browser, pytest.mark.full, pytest.mark.timeout(240)]
LIMIT_S = 90


def process_named(run, name):
    """Process id of a child of the run."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            if f"(livemef-{name}" in stat and int(stat.rpartition(")")[2].split()[1]) == run.pipeline.process.pid:
                return int(folder.name)
    raise AssertionError(name)


def look(browser, run):
    browser.get(f"http://127.0.0.1:{run.page}/?token={run.token}")
    until(lambda: shown(browser) is not None, LIMIT_S)
    until(lambda: browser.execute_script("return !document.getElementById('processes').hidden"), LIMIT_S)
    click(browser, "drops")


def said(browser):
    return text(browser, "drops-words")


def test_frames_that_the_camera_loses(browser, tmp_path):
    camera = "sim://?size=160x120&fps=10&scene=flat&drop=0.3&seed=3"
    with running(tmp_path, "--motion", "off", "--exposures", "1ms,16ms", "--camera", camera) as run:
        look(browser, run)
        until(lambda: "before livemef had them" in said(browser), LIMIT_S)
        assert "USB" in text(browser, "drops-help")
        browser.get("about:blank")


def test_fusion_that_is_too_slow(browser, tmp_path):
    camera = "sim://?size=1280x720&fps=30&scene=flat"
    with running(tmp_path, "--network-lines", "0", "--exposures", "1ms,16ms", "--camera", camera) as run:
        look(browser, run)
        until(lambda: said(browser).startswith("Fusion takes"), LIMIT_S)
        assert "network lines" in text(browser, "drops-help")
        browser.get("about:blank")


def test_a_server_that_stood_still(browser, tmp_path):
    camera = "sim://?size=320x240&fps=25&scene=flat"
    with running(tmp_path, "--exposures", "1ms,16ms", "--camera", camera) as run:
        look(browser, run)
        gate = process_named(run, "preview")
        os.kill(gate, signal.SIGSTOP)
        time.sleep(4)  # its masks are more than queue and socket hold; after 5 s it would be killed as hanging
        os.kill(gate, signal.SIGCONT)
        until(lambda: "did not reach this page's server" in said(browser), 30)
        browser.get("about:blank")


def test_exposures_that_change_then_a_killed_process(browser, tmp_path):
    camera = "sim://?size=160x120&fps=10&scene=flat"
    with running(tmp_path, "--motion", "off", "--exposures", "1ms,16ms", "--camera", camera) as run:
        look(browser, run)
        for step in range(24):
            run.ask("PATCH", "/settings/capture", {"exposures": f"{1 + step % 5}ms,16ms"})
            time.sleep(0.5)
            if "exposure changes often" in said(browser):
                break
        assert "exposure changes often" in said(browser)
        os.kill(process_named(run, "fusion"), signal.SIGKILL)
        until(lambda: said(browser).startswith("fusion started again"), LIMIT_S)
        rows = text(browser, "drops-rows")
        assert "-" not in rows, "counts of the process before do not make negative ones"
        browser.get("about:blank")
