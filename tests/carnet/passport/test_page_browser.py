"""The page in Chromium: readable, accessible, and silent."""

import json
import pathlib

import chromium
import page_reading
import PIL.Image
import pytest

AXE = pathlib.Path(__file__).parents[2] / "fixtures/axe/axe.min.js"
needs_browser = pytest.mark.skipif(
  chromium.PATH is None, reason="needs Chromium: apt-get install chromium"
)


@pytest.fixture(scope="module")
def made(original):
  return page_reading.build(original)


@pytest.fixture(scope="module")
def browser():
  with chromium.browser() as started:
    yield started


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(360, True), (1280, False)])
def test_a_browser_shows_it_without_a_violation(
  made, browser, tmp_path, width, dark
):
  place = tmp_path / "report.html"
  place.write_text(made)
  browser.open(place, width, dark)
  # details that are open are looked into, too
  browser.run("document.querySelectorAll('details').forEach(d => d.open = 1)")
  assert browser.run("document.documentElement.scrollWidth") == width
  assert browser.run("document.querySelectorAll('img').length") == 12
  broken = "[...document.images].filter(x => !x.naturalWidth).length"
  assert browser.run(broken) == 0
  assert browser.run("document.compatMode") == "CSS1Compat"
  ground = browser.run("getComputedStyle(document.body).backgroundColor")
  assert ground == ("rgb(15, 19, 23)" if dark else "rgb(255, 255, 255)")
  assert browser.named("Log.entryAdded") == []
  browser.run(f"{AXE.read_text()};0")
  found = json.loads(
    browser.run(
      "axe.run().then(r => JSON.stringify([r.passes.length, r.violations]))"
    )
  )
  assert found[0] > 20
  assert found[1] == []
  browser.picture(tmp_path / "report.png")
  with PIL.Image.open(tmp_path / "report.png") as picture:
    assert picture.width == width
    assert picture.height > 2000


@needs_browser
def test_a_browser_asks_nobody_and_runs_nothing(step, browser, tmp_path):
  page_reading.hostile(step)
  place = tmp_path / "report.html"
  place.write_text(page_reading.build(step))
  browser.open(place)
  asked = [
    x["request"]["url"] for x in browser.named("Network.requestWillBeSent")
  ]
  assert [url for url in asked if not url.startswith("data:")] == [
    place.as_uri()
  ]
  assert browser.named("Page.javascriptDialogOpening") == []
  assert browser.named("Log.entryAdded") == []
  assert browser.run("document.scripts.length") == 0


@needs_browser
def test_the_keyboard_reaches_what_opens_and_scrolls(made, browser, tmp_path):
  place = tmp_path / "report.html"
  place.write_text(made)
  browser.open(place, 360)
  browser.run("document.querySelectorAll('details').forEach(d => d.open = 1)")
  assert browser.run(
    "[...document.querySelectorAll('summary, .scroll, a')]"
    ".every(x => { x.focus(); return document.activeElement === x; })"
  )
  outline = browser.run(
    "(() => { const a = document.querySelector('nav a'); a.focus({"
    "focusVisible: true}); return getComputedStyle(a).outlineStyle; })()"
  )
  assert outline == "solid"
