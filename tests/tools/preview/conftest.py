"""One browser for all tests of the page, since it takes seconds to start; each finds it as if it were new."""

import pytest


@pytest.fixture(scope="package")
def started_browser(tmp_path_factory):
    from tests.tools.preview.browser import open_browser  # skips where selenium is missing

    driver = open_browser(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture
def browser(started_browser):
    from tests.tools.preview.browser import make_as_new

    make_as_new(started_browser)
    return started_browser
