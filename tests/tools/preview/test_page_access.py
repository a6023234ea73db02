"""Whether people who cannot see well, or use no mouse, can work with the page."""

import pytest

from tests.fusion.stream.test_publisher import until
from tests.tools.preview.axe import SCRIPT, findings
from tests.tools.preview.browser import clear_size, click, needs_browser, press, set_size, shown
from tests.tools.preview.preview_rig import Show, serving

pytestmark = [
    needs_browser,
    pytest.mark.skipif(
        not SCRIPT.is_file(),
        reason="needs axe-core from npm: python -m tests.tools.preview.axe",
    ),
]


@pytest.fixture
def page(browser, tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Show(place), serving(place) as port:
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: shown(browser) is not None, 30)
        yield browser
        browser.get("about:blank")


@pytest.mark.parametrize("size", [(1400, 900), (390, 844), (844, 390)], ids=str)
def test_axe_finds_nothing_at_any_size(page, size):
    set_size(page, *size)
    try:
        for key in ("z", "f", "s"):
            press(page, key)
        assert findings(page) == []
    finally:
        clear_size(page)


@pytest.mark.parametrize("name", ["help", "drops"])
def test_axe_finds_nothing_in_dialogs(page, name):
    click(page, name)
    assert findings(page) == []
    page.execute_script("document.querySelector('dialog[open]').close()")


def test_axe_does_find_what_is_wrong(page):
    page.execute_script("document.getElementById('screen').removeAttribute('aria-label')")
    page.execute_script("document.getElementById('pause').style.color = '#333'")
    assert any("color-contrast" in line for line in findings(page))
