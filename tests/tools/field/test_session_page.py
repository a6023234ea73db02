"""The panel of an open session, in a real browser."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools.field.session_rig import Session, make_project
from tests.tools.preview.browser import complaints, needs_browser, open_browser, set_size

pytestmark = [needs_browser, pytest.mark.full]
LIMIT_S = 60


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    project = make_project(tmp_path_factory.mktemp("field") / "museum", definition="livemef-sheet")
    session = Session(project)
    yield session
    session.close()


@pytest.fixture(scope="module")
def page(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    browser = open_browser(tmp_path_factory.mktemp("browser"))
    set_size(browser, 1400, 900)
    browser.get(session.page_with_token)
    yield browser
    browser.quit()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def words(page: Any, name: str) -> str:
    return str(page.execute_script("return document.getElementById(arguments[0]).innerText", name))


def focus(page: Any) -> str:
    return str(page.execute_script("return document.activeElement.id"))


def scan(page: Any, text: str) -> None:
    """What a barcode scanner does: it types, wherever the focus is, and presses Enter."""
    page.switch_to.active_element.send_keys(text + "\n")


def test_red_bar_and_no_take_before_a_target(page: Any) -> None:
    assert complaints(page) == []
    until(lambda: page.find_element("id", "field").is_displayed())
    until(lambda: words(page, "field-red").startswith("no target yet"))
    assert words(page, "field-now") == "Not ready"
    assert not page.find_element("id", "take").is_enabled()
    until(lambda: page.find_element("id", "target").is_enabled())
    assert focus(page) == "object-id"


def test_target_then_take_by_scanner(page: Any, session: Session) -> None:
    until(lambda: page.find_element("id", "target").is_displayed() and page.find_element("id", "target").is_enabled())
    page.find_element("id", "target").click()
    until(lambda: page.find_element("id", "take").is_enabled())
    assert not page.find_element("id", "field-red").is_displayed()
    assert "Indicative quality" in words(page, "badge")
    assert "ΔE00 mean" in words(page, "badge")
    page.find_element("id", "zebra").click()  # the focus comes back, so that the next scan goes where it should
    assert focus(page) == "object-id"
    scan(page, "KR-77")
    until(lambda: "KR-77" in words(page, "last-objects"))
    assert (session.folder / "objects" / "KR-77" / "bagit.txt").is_file()
    until(lambda: page.find_element("id", "take").is_enabled())
    assert page.find_element("id", "object-id").get_attribute("value") == ""
    until(lambda: page.execute_script("return document.querySelector('#last-objects img')?.naturalWidth") == 240)
    time.sleep(2)  # and it stays, whatever else is shown anew
    assert page.find_element("css selector", "#last-objects img").is_displayed()


def test_a_part_a_retake_and_a_refusal(page: Any, session: Session) -> None:
    scan(page, "")
    until(lambda: "part 2" in words(page, "last-objects"))
    until(lambda: page.find_element("id", "take").is_enabled())
    scan(page, "kr-77")
    until(lambda: "is there already" in words(page, "toast"))
    page.find_element("id", "retake").click()
    page.find_element("id", "object-id").clear()
    scan(page, "KR-77")
    until(lambda: "retake" in words(page, "last-objects"))
    names = sorted(path.name for path in (session.folder / "objects").iterdir())
    assert names == ["KR-77", "KR-77.r2", "KR-77_p0002"]


def test_the_clipping_overlay_comes_and_goes(page: Any) -> None:
    overlay = page.find_element("id", "clipping-overlay")
    page.find_element("id", "clipping").click()
    until(lambda: page.execute_script("return document.getElementById('clipping-overlay').naturalWidth") == 480)
    assert overlay.is_displayed()
    page.find_element("id", "clipping").click()
    until(lambda: not overlay.is_displayed())


def test_the_state_comes_by_events_and_nothing_is_asked_for_again_and_again(page: Any) -> None:
    is_state = "new URL(entry.name).pathname === '/api/v1/session'"
    asked = f"return performance.getEntriesByType('resource').filter(entry => {is_state}).length"
    until(lambda: page.find_element("id", "take").is_enabled())
    time.sleep(1)  # the click before this test asks once
    before, ages = page.execute_script(asked), {words(page, "badge")}
    time.sleep(5)
    assert page.execute_script(asked) == before
    until(lambda: ages.add(words(page, "badge")) or len(ages) > 1)
    assert [text for text in complaints(page) if "409" not in text] == []  # what was refused, the page has shown


def test_who_only_looks_cannot_take(session: Session, tmp_path: Path) -> None:
    browser = open_browser(tmp_path)
    try:
        browser.get(session.page)
        until(lambda: browser.find_element("id", "field").is_displayed())
        until(lambda: browser.find_element("id", "take").is_enabled())
        before = session.state()["objects"]
        browser.find_element("id", "object-id").send_keys("KR-99\n")
        until(lambda: "token" in words(browser, "toast"))
        assert session.state()["objects"] == before
    finally:
        browser.quit()
