"""Firefox, driven by its own protocol Marionette, with those of selenium's methods that the page's tests use.

`TEST_BROWSER=firefox python -m pytest tests/tools/preview`; needs `apt-get install firefox-esr` and
`pip install marionette-driver`, which are from Mozilla. (Debian 12 has no geckodriver, which selenium would need.)
"""

import base64
import os
import shutil
import subprocess

from tests.tools.run.test_run import free_port

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
LIMIT_S = 30.0
PREFERENCES = """
user_pref("marionette.port", {port});
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("webgl.force-enabled", true);
"""


class Firefox:
    """A new Firefox whose profile is in `folder`."""

    def __init__(self, folder) -> None:
        from marionette_driver.marionette import Marionette

        folder.mkdir(exist_ok=True)
        port = free_port()
        (folder / "user.js").write_text(PREFERENCES.format(port=port))
        headless = [] if "DISPLAY" in os.environ else ["--headless"]  # there it may have no WebGL
        command = [FIREFOX, *headless, "--marionette", "--no-remote", "--profile", str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._client = Marionette(host="127.0.0.1", port=port, socket_timeout=120, startup_timeout=60)
        try:
            self._client.raise_for_port(timeout=60)
            self._client.start_session()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self._client.timeout.page_load = self._client.timeout.script = LIMIT_S
        self._client.set_window_rect(width=1400, height=900)

    def get(self, url):
        self._client.navigate(url)

    def execute_script(self, script, *values):
        return self._client.execute_script(script, script_args=values, sandbox=None)

    def execute_async_script(self, script, *values):
        return self._client.execute_async_script(script, script_args=values, sandbox=None)

    def find_element(self, by, name):
        return self._client.find_element(by, name)

    def find_elements(self, by, name):
        return self._client.find_elements(by, name)

    @property
    def current_url(self):
        return self._client.get_url()

    def delete_all_cookies(self):
        self._client.delete_all_cookies()

    def set_size(self, width, height):
        """Of what the page sees."""
        outer = self.execute_script("return [outerWidth - innerWidth, outerHeight - innerHeight]")
        self._client.set_window_rect(width=width + outer[0], height=height + outer[1])

    def get_log(self, _):
        """Marionette has no console."""
        return []

    def get_screenshot_as_base64(self):
        return self._client.screenshot(full=False)

    def get_screenshot_as_png(self):
        return base64.b64decode(self.get_screenshot_as_base64())

    def quit(self):
        self._client.delete_session()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
