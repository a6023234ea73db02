"""The page's controls on a running pipeline: what is moved there is in the pictures' headers, and on other pages."""

import re
import time

import pytest

from tests.fusion.stream.test_publisher import until
from tests.tools.preview.axe import SCRIPT, findings
from tests.tools.preview.browser import click, needs_browser, open_browser, press, set_size, shown, text
from tests.tools.preview.firefox import Firefox
from tests.tools.preview.run_rig import running

pytestmark = [needs_browser, pytest.mark.full]
LIMIT_S = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    file = folder / "livemef.toml"
    file.write_text('[fusion]\ngamma = 1.1\n[capture]\nexposures = "1ms,16ms"\n')
    with running(folder, "--config", str(file), "--motion", "off") as controlled:
        controlled.file = file
        yield controlled


def open_page(browser, run, token=True):
    browser.get(f"http://127.0.0.1:{run.page}/" + (f"?token={run.token}" if token else ""))
    until(lambda: shown(browser) is not None, LIMIT_S)
    until(lambda: browser.execute_script("return !document.getElementById('look-panel').hidden"), LIMIT_S)


@pytest.fixture
def page(browser, run):
    open_page(browser, run)
    yield browser
    browser.get("about:blank")


FIELD = """
const field = document.querySelector(`[data-key="${arguments[0]}"]`);
"""


def type_value(browser, key, words):
    browser.execute_script(
        FIELD + "const entry = field.querySelector('input[type=text]'); entry.value = arguments[1];"
        "entry.dispatchEvent(new Event('change'));",
        key,
        words,
    )


def field_value(browser, key):
    return browser.execute_script(FIELD + "return field.querySelector('input[type=text]').value", key)


def caption(browser):
    """The settings that the header of the picture shown names."""
    return text(browser, "fused-caption")


def test_a_slider_reaches_the_pictures_header_and_another_browser(page, run, tmp_path):
    other = open_browser(tmp_path)
    if isinstance(other, Firefox):
        other.quit()
        pytest.skip("the second window of Firefox hides the first, whose page then rests")
    try:
        open_page(other, run)
        for place in range(0, 1001, 100):  # as fast as the browser goes: the last one counts
            page.execute_script(
                FIELD + "const slider = field.querySelector('input[type=range]'); slider.value = arguments[1];"
                "slider.dispatchEvent(new Event('input'));",
                "fusion.gamma",
                place if place < 1000 else 250,
            )
        until(lambda: "gamma 0.5," in caption(page), LIMIT_S)
        assert field_value(page, "fusion.gamma") == "0.5"
        until(lambda: field_value(other, "fusion.gamma") == "0.5", LIMIT_S)
        until(lambda: "Gamma 0.5: page" in text(other, "changed-by"), LIMIT_S)
        until(lambda: "gamma 0.5," in caption(other), LIMIT_S)
        assert run.ask("GET", "/settings")[1]["values"]["fusion"]["gamma"] == 0.5
    finally:
        other.quit()


def test_buttons_and_words_are_settings_too(page, run):
    page.execute_script(FIELD + "field.querySelector('button[value=lab]').click()", "fusion.colour")
    until(lambda: "colour lab" in caption(page), LIMIT_S)
    page.execute_script(FIELD + "[...field.querySelectorAll('.word')][0].click()", "fusion.gamma")
    until(lambda: "gamma adaptive" in caption(page), LIMIT_S)
    page.execute_script(FIELD + "[...field.querySelectorAll('.word')][0].click()", "fusion.gamma")
    until(lambda: "gamma adaptive" not in caption(page), LIMIT_S)


def test_a_refused_value_is_said_and_taken_back(page, run):
    before = run.ask("GET", "/settings")[1]["values"]["fusion"]["gamma"]
    type_value(page, "fusion.gamma", "9")
    until(lambda: not page.find_element("id", "toast").get_property("hidden"), LIMIT_S)
    assert "4" in text(page, "toast"), "the message names the range"
    until(lambda: field_value(page, "fusion.gamma") == str(before), LIMIT_S)
    assert run.ask("GET", "/settings")[1]["values"]["fusion"]["gamma"] == before


def test_exposures_are_set_held_and_left_to_follow(page, run):
    until(lambda: page.find_elements("css selector", "#times .entry"), LIMIT_S)
    script = """
    const entry = document.querySelectorAll("#times .entry")[1];
    entry.value = "8 ms";
    entry.dispatchEvent(new Event("change"));
    """
    page.execute_script(script)
    until(lambda: "Long8 ms" in text(page, "strip"), LIMIT_S)
    until(lambda: "Gap 3.0 EV, held" in text(page, "exposure-panel"), LIMIT_S)
    press(page, "a")
    until(lambda: "following the scene" in text(page, "exposure-panel"), LIMIT_S)
    assert run.ask("GET", "/status")[1]["auto"] is True
    press(page, "a")
    until(lambda: "held" in text(page, "exposure-panel"), LIMIT_S)
    assert run.ask("GET", "/status")[1]["auto"] is False


def test_save_and_revert(page, run):
    type_value(page, "fusion.gamma", "0.7")
    until(lambda: page.find_element("id", "save").is_enabled(), LIMIT_S)
    click(page, "save")
    until(lambda: "gamma = 0.7" in run.file.read_text(), LIMIT_S)
    type_value(page, "fusion.gamma", "0.6")
    until(lambda: "gamma 0.6," in caption(page), LIMIT_S)
    until(lambda: page.find_element("id", "revert").is_enabled(), LIMIT_S)
    click(page, "revert")
    until(lambda: "gamma 0.7," in caption(page), LIMIT_S)


def test_a_still_is_taken_and_can_be_fetched(page):
    press(page, "Enter")
    until(lambda: page.find_elements("css selector", "#files a"), LIMIT_S)
    fetched = """
    const done = arguments[arguments.length - 1];
    fetch(document.querySelector("#files a").href).then(answer => answer.arrayBuffer())
      .then(buffer => done([...new Uint8Array(buffer.slice(0, 26))]));
    """
    head = bytes(page.execute_async_script(fetched))
    assert head.startswith(b"\x89PNG")
    assert head[24] == 16, "bits a sample"


def test_a_recording_is_begun_and_ended(page, run):
    press(page, "r")
    until(lambda: text(page, "record").startswith("Stop"), LIMIT_S)
    until(lambda: run.ask("GET", "/recording")[1]["brackets"] > 2, LIMIT_S)
    press(page, "r")
    until(lambda: text(page, "record") == "Record", LIMIT_S)
    # a busy disk may refuse some, and the page says so
    until(lambda: re.search(r"\d brackets(, \d+ refused)?, done", text(page, "files")), LIMIT_S)


def test_who_only_looks_sees_all_and_changes_nothing(browser, run):
    open_page(browser, run, token=False)
    browser.delete_all_cookies()
    open_page(browser, run, token=False)
    assert "Looking only" in text(browser, "looking-words")
    enabled = (
        "return [...document.querySelectorAll('#look-panel button, #look-panel input')].filter(one => !one.disabled)"
    )
    assert browser.execute_script(enabled) == []
    before = run.ask("GET", "/settings")[1]["revision"]
    press(browser, "-")
    press(browser, "]")
    time.sleep(1)
    assert run.ask("GET", "/settings")[1]["revision"] == before
    browser.get("about:blank")


def test_a_token_of_another_run_is_named_and_locks_nobody_out(browser, run):
    browser.delete_all_cookies()
    for _ in range(3):
        browser.get(f"http://127.0.0.1:{run.page}/?token=of-yesterday")
        until(lambda: "the token of this address is not this run's" in text(browser, "looking-words"), LIMIT_S)
    assert "token" not in browser.current_url
    time.sleep(4)  # the page asks again and again
    assert run.ask("GET", "/status")[1]["role"] == "control", "ten wrong tokens a minute would refuse all from here"
    browser.get("about:blank")


def test_a_restarted_process_comes_back_and_the_page_says_so(page, run):
    restart = "[...document.querySelectorAll('#processes button')].find(one => /fusion/.test(one.ariaLabel)).click()"
    until(lambda: page.find_elements("css selector", "#processes button"), LIMIT_S)
    page.execute_script(restart)
    click(page, "confirm-yes")
    until(lambda: "started again 1 time" in text(page, "processes"), LIMIT_S)
    seen = shown(page)
    until(lambda: shown(page) != seen, LIMIT_S)


@pytest.mark.skipif(not SCRIPT.is_file(), reason="needs axe-core from npm: python -m tests.tools.preview.axe")
def test_axe_finds_nothing_in_the_controls(page):
    page.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    press(page, "z")
    assert findings(page) == []


COVERED = """
const [above, below] = ["monitor", "actions"].map(id => document.getElementById(id).getBoundingClientRect());
const inside = "#panel button, #panel input, #panel select, #panel summary";
const there = [...document.querySelectorAll(inside)].filter(one => !one.disabled && one.offsetParent);
const covered = [];
for (const one of [...there, ...there.toReversed()]) {
  one.focus();
  const { top, bottom } = one.getBoundingClientRect();
  if (top < above.bottom - 1 || bottom > below.top + 1) covered.push(one.ariaLabel || one.id || one.textContent);
}
return [there.length, covered];
"""


@pytest.mark.parametrize("size", [(320, 640), (360, 740), (390, 844), (768, 1024)])
def test_what_has_the_focus_is_never_covered_on_a_phone(page, size):
    """Neither by the picture, which stays above, nor by the bar, which stays below (WCAG 2.2, 2.4.11)."""
    set_size(page, *size)
    page.execute_script(
        "for (const one of document.querySelectorAll('#panel details')) one.open = true; scrollTo(0, 300)"
    )
    count, covered = page.execute_script(COVERED)
    width = page.execute_script("return document.documentElement.scrollWidth")
    set_size(page, 1400, 900)
    assert width <= size[0]
    assert count > 30
    assert covered == []
