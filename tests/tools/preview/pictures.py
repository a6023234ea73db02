"""Pictures of the page for the documents: `python -m tests.tools.preview.pictures [--fps 10] [--patience SECONDS]`.

Of a pipeline on the simulated room, in a real browser, at the sizes that the page is made for. Each is taken when the
page is live, at the camera's rate, and nothing is being dropped; after `patience` as it is, with a warning.
"""

import argparse
import base64
import os
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from tests.fusion.stream.test_publisher import until
from tests.tools.preview.browser import open_browser, press, set_size, shown, text
from tests.tools.preview.run_rig import running

FOLDER = Path(__file__).parents[3] / "docs" / "pictures"
QUALITY = 84
CAMERA = "sim://?size=1280x720&fps={fps:g}"
FIRST_PICTURE_S = 90.0
PICTURES = {
    "page-1400x900": ((1400, 900), ""),
    "page-390x844": ((390, 844), ""),
    "page-844x390": ((844, 390), "s"),
    "page-3840x2160": ((3840, 2160), ""),
    "page-aids": ((1400, 900), "szp"),
    "page-loupe": ((1400, 900), "l"),
}
"""Name: size, and the keys that are pressed before."""


def main() -> None:
    """Write all of PICTURES."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--patience", type=float, default=40)
    given = parser.parse_args()
    camera = CAMERA.format(fps=given.fps)
    with tempfile.TemporaryDirectory() as place, running(Path(place), "--camera", camera) as run:
        browser = open_browser(Path(place) / "profile")
        try:
            for name, (size, keys) in PICTURES.items():
                set_size(browser, *size)
                browser.get(f"http://127.0.0.1:{run.page}/?token={run.token}")
                until(lambda: shown(browser) is not None, FIRST_PICTURE_S)
                until(lambda: browser.execute_script(CONTROLS_ARE_THERE), FIRST_PICTURE_S)
                for key in keys:
                    press(browser, key)
                _wait_until_calm(browser, name, 0.95 * given.fps, given.patience)
                _write(browser, FOLDER / f"{name}.jpg")
        finally:
            browser.quit()


CONTROLS_ARE_THERE = "return !document.getElementById('look-panel').hidden"


def _is_calm(browser, least_fps: float) -> bool:
    rate = text(browser, "rate").split()[0]
    return (
        text(browser, "state") == "live"
        and rate.replace(".", "").isdigit()
        and float(rate) >= least_fps
        and "rising" not in text(browser, "drops")
    )


def _wait_until_calm(browser, name: str, least_fps: float, patience_s: float) -> None:
    time.sleep(5)  # tiles that a busy machine has not drawn yet are white
    end_s = time.monotonic() + patience_s
    while not _is_calm(browser, least_fps):
        if time.monotonic() > end_s:
            found = [text(browser, one) for one in ("state", "rate", "drops")]
            print(f"{name}: the machine is too busy for a good picture: {found}", file=sys.stderr)
            return
        time.sleep(0.2)


def _write(browser, path: Path) -> None:
    png = base64.b64decode(browser.get_screenshot_as_base64())
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    partial = path.with_name(f".partial-{path.name}")
    assert cv2.imwrite(str(partial), pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    os.replace(partial, path)
    print(path, path.stat().st_size, text(browser, "rate"), text(browser, "codec"))


if __name__ == "__main__":
    main()
