"""One browser for all tests of the page: it takes seconds to start."""

import pytest


@pytest.fixture(scope="package")
def browser(tmp_path_factory):
    from tests.tools.preview.browser import open_browser  # skips where selenium is missing

    driver = open_browser(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()
