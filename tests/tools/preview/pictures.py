"""Pictures of the page for the documents: `python -m tests.tools.preview.pictures [SECONDS]`.

Of a pipeline on the simulated room, in a real browser, at the sizes that the page is made for. SECONDS: how long to
wait for a moment with an even frame rate, on a machine that does other things as well.
"""

import base64
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from tests.tools.preview.browser import open_browser, press, set_size, shown, text
from tests.tools.preview.run_rig import running

FOLDER = Path(__file__).parents[3] / "docs" / "pictures"
QUALITY = 84
CAMERA = "sim://?size=1280x720&fps=10"
EVEN_FPS = 9.5
PICTURES = {
    "page-1400x900": ((1400, 900), ""),
    "page-390x844": ((390, 844), ""),
    "page-844x390": ((844, 390), "s"),
    "page-3840x2160": ((3840, 2160), ""),
    "page-aids": ((1400, 900), "szp"),
    "page-loupe": ((1400, 900), "l"),
}
"""Name: size, and the keys that are pressed before."""


def main(patience_s: float = 20.0) -> None:
    """Write all of PICTURES."""
    with tempfile.TemporaryDirectory() as place, running(Path(place), "--camera", CAMERA) as run:
        browser = open_browser(Path(place) / "profile")
        try:
            for name, (size, keys) in PICTURES.items():
                set_size(browser, *size)
                browser.get(f"http://127.0.0.1:{run.page}/?token={run.token}")
                while shown(browser) is None:
                    time.sleep(0.1)
                for key in keys:
                    press(browser, key)
                _wait_for_even_rate(browser, patience_s)
                _write(browser, FOLDER / f"{name}.jpg")
        finally:
            browser.quit()


def _wait_for_even_rate(browser, patience_s: float) -> None:
    time.sleep(5)  # tiles that a busy machine has not drawn yet are white
    end_s = time.monotonic() + patience_s
    while time.monotonic() < end_s and float(text(browser, "rate").split()[0]) < EVEN_FPS:
        time.sleep(0.2)


def _write(browser, path: Path) -> None:
    png = base64.b64decode(browser.get_screenshot_as_base64())
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    print(path, path.stat().st_size, text(browser, "rate"))


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
