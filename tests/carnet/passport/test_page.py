"""The page for people: complete, harmless, readable, accessible."""

import base64
import html.parser
import io
import json
import pathlib
import re

import chromium
import numpy as np
import PIL.Image
import pydantic
import pytest
import sample
import told

from carnet.checkpoint import directory
from carnet.passport import (
  context,
  outcome,
  page,
  schema,
  statistics,
  validate,
  validate_command,
)
from carnet.passport.formats import rows
from carnet.passport.page import boxes, frames, markup, png

AXE = pathlib.Path(__file__).parents[2] / "fixtures/axe/axe.min.js"
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x1b["
VOID = {"meta", "img"}
needs_browser = pytest.mark.skipif(
  chromium.PATH is None, reason="needs Chromium: apt-get install chromium"
)


class Reader(html.parser.HTMLParser):
  """Elements with their attributes, and the text, as a browser takes them."""

  def __init__(self, text):
    super().__init__()
    self.elements, self.text, self._open = [], "", []
    self.feed(text)
    self.close()
    assert not self._open

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    if tag not in VOID:
      self._open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self._open.pop() == tag

  def handle_data(self, data):
    if self._open[-1:] != ["style"]:
      self.text += f"{data} "

  def named(self, name):
    return [attributes for tag, attributes in self.elements if tag == name]


def build(step, **options):
  found = context.Context(step)
  report = validate.validate(step)
  return page.build(rows.Validation(report, **options), found)


@pytest.fixture(scope="module")
def made(original):
  return build(original)


@pytest.fixture(scope="module")
def browser():
  with chromium.browser() as started:
    yield started


def test_the_page_tells_what_the_validation_told(original, made):
  report = validate.validate(original)
  text = Reader(made).text
  for check in validate.catalogue():
    assert check.id in text
  assert f"Verdict {report.verdict}" in text
  for status in outcome.Status:
    word = status.value.replace("_", " ")
    assert re.search(rf"\b{report.count(status)} \s*{word}", text)


def test_the_page_shows_every_part_of_the_passport(original, made):
  text = Reader(made).text
  passport = schema.read(original / directory.PASSPORT)
  for fact in (
    passport.model_identity.class_name,
    passport.provenance.training_commit,
    passport.provenance.training_datasets[0].loader_class,
    passport.model_internals.tree_digest.root,
    passport.output_spec.smoke_results.entry_point,
    passport.transform_pipeline[4].code_ref,
    "camera_serial",
    *(file.path for file in passport.weight_integrity.weight_files),
    *(file.sha256 for file in passport.weight_integrity.weight_files),
  ):
    assert fact in text


def test_nothing_comes_from_elsewhere_and_nothing_runs(made):
  found = Reader(made)
  check_harmless(found)
  assert len(made) < 5_000_000
  (policy,) = [
    meta["content"]
    for meta in found.named("meta")
    if meta.get("http-equiv") == "Content-Security-Policy"
  ]
  assert policy.startswith("default-src 'none';")


def check_harmless(found):
  names = {tag for tag, _ in found.elements}
  assert not names & {"script", "iframe", "object", "embed", "link", "base"}
  for tag, attributes in found.elements:
    for name, value in attributes.items():
      assert not name.startswith("on"), (tag, name)
      if name == "src":
        assert value.startswith("data:image/png;base64,")
      if name in ("href", "xlink:href"):
        assert value.startswith("#")
      assert name != "style"
      assert name not in ("srcdoc", "formaction", "action")


def test_each_check_has_its_facts_and_the_failing_ones_come_first():
  report = told.report(*told.STATES["fail"][0], "files hard open")
  found = context.Context(pathlib.Path("nowhere"))
  text = page.build(rows.Validation(report), found)
  names = re.findall(r"<b>(\w+_\d)</b>", text)
  assert names == ["fail_0", "open_3", "fail_2", "bare_1"]
  assert "Failed: files/fail_0, signoff/fail_2." in text
  groups = re.findall(r'class="group"( open)?', text)
  assert groups == [" open"] * 3
  for fact in ("abc", "def", "/provenance/config_sha256", "generate-passport"):
    assert f"<dd>{fact}</dd>" in text


@pytest.mark.parametrize("state", told.STATES)
@pytest.mark.parametrize("strict", [False, True])
def test_the_verdict_and_exit_code_are_those_of_every_format(state, strict):
  made, *codes = told.STATES[state]
  report = told.report(*made)
  found = context.Context(pathlib.Path("nowhere"))
  text = page.build(rows.Validation(report, strict=strict), found)
  assert f"Verdict {report.verdict}, exit code {codes[strict]}." in text
  check_harmless(Reader(text))


def test_without_a_valid_passport_the_verdict_is_told(step):
  (step / directory.PASSPORT).write_text("{")
  text = Reader(build(step)).text
  assert "Do not ship it" in text
  assert "no valid passport" in text


def hostile(step):
  """Writes into every text of the passport that the schema lets be free."""
  body = json.loads((step / directory.PASSPORT).read_bytes())
  count = 0

  def valid():
    try:
      schema.Passport.model_validate_json(json.dumps(body))
    except pydantic.ValidationError:
      return False
    return True

  def visit(node):
    nonlocal count
    for key in list(node) if isinstance(node, dict) else range(len(node)):
      kept = node[key]
      if isinstance(kept, dict | list):
        visit(kept)
      if isinstance(node, dict):
        node[f"{HOSTILE}{key}"] = node.pop(key)
        key = f"{HOSTILE}{key}" if valid() else _restore(node, key, kept)
      if isinstance(kept, str):
        node[key] = HOSTILE + kept
        if valid():
          count += 1
        else:
          node[key] = kept

  visit(body)
  assert valid()
  (step / directory.PASSPORT).write_text(json.dumps(body))
  return count


def _restore(node, key, kept):
  del node[f"{HOSTILE}{key}"]
  node[key] = kept
  return key


def test_markup_in_every_text_of_a_passport_stays_text(step):
  sample.write(
    step,
    **{
      "known_issues": [
        {
          **{"id": "a", "title": "b", "severity": "low", "affected": "c"},
          **{"workaround": "d", "check_type": "human"},
        }
      ],
      "provenance/lineage": [
        {
          "parent_passport_sha256": None,
          "relation": "resume",
          "note": "from before",
        }
      ],
    },
  )
  assert hostile(step) > 40
  text = build(step)
  found = Reader(text)
  check_harmless(found)
  assert "<script>alert(1)</script>" in found.text  # as text, and often
  assert found.text.count("alert(1)") > 40
  assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", text)


def test_pictures_are_the_frames_and_what_the_pipeline_makes_of_them(original):
  (camera,) = frames.cameras(context.Context(original), 3)
  assert [pair.index for pair in camera.pairs] == [0, 4, 9]
  raw = sample.frames()
  for pair in camera.pairs:
    np.testing.assert_array_equal(pair.raw, raw[pair.index])
  mean, std = np.asarray(sample.MEAN), np.asarray(sample.STD)
  seen = (raw[[0, 4, 9]] / 255 - mean) / std
  low, high = seen.min(), seen.max()
  wanted = ((seen - low) / (high - low) * 255).round()
  for pair, picture in zip(camera.pairs, wanted, strict=True):
    np.testing.assert_allclose(pair.seen.astype(float), picture, atol=1)
  black, white = markup.number(float(low)), markup.number(float(high))
  assert f"black is {black}, white is {white}" in camera.caption
  assert "float32" in camera.caption


def test_pictures_in_the_page_are_png_files_of_those_pixels(original, made):
  images = Reader(made).named("img")
  assert len(images) == 2 * 6
  (camera,) = frames.cameras(context.Context(original), 6)
  pixels = [x for pair in camera.pairs for x in (pair.raw, pair.seen)]
  for image, wanted in zip(images, pixels, strict=True):
    content = base64.b64decode(image["src"].split(",")[1])
    found = np.asarray(PIL.Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(found, wanted)
    assert re.fullmatch(r"Camera top, frame \d, as .*", image["alt"])


@pytest.mark.parametrize("shape", [(7, 5, 3), (1, 1, 1), (64, 3, 1)])
def test_png_files_hold_the_pixels(shape):
  rng = np.random.default_rng(0)
  wanted = rng.integers(0, 256, shape, dtype=np.uint8)
  found = np.asarray(PIL.Image.open(io.BytesIO(png.encode(wanted))))
  np.testing.assert_array_equal(found.reshape(shape), wanted)


def test_large_pictures_are_made_small_by_means():
  picture = np.zeros((20, 30, 1), np.uint8)
  picture[::2] = 100
  small = png.smaller(picture, 10)
  assert small.shape == (6, 10, 1)
  assert set(small.flat) <= {33, 66}
  assert png.smaller(picture, 30) is picture
  assert png.smaller(np.zeros((2, 900, 3), np.uint8), 100).shape == (1, 100, 3)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda x: b"GIF89a" + x[6:], "is no PNG file"),
    (lambda x: x[:16] + b"\xff" * 8 + x[24:], "pixels"),
    (lambda x: x[: len(x) // 2], "is a damaged PNG"),
  ],
)
def test_unsound_frames_are_told_on_the_page(step, change, message):
  place = step / sample.FRAMES_PATH / "top_000.png"
  place.write_bytes(change(place.read_bytes()))
  (camera,) = frames.cameras(context.Context(step), 3)
  assert message in camera.fault
  assert message in Reader(build(step)).text


def test_transparency_is_left_out(step):
  place = step / sample.FRAMES_PATH / "top_000.png"
  pixels = np.dstack([sample.frames()[0], np.zeros((12, 16), np.uint8)])
  PIL.Image.fromarray(pixels).save(place)
  (camera,) = frames.cameras(context.Context(step), 1)
  np.testing.assert_array_equal(camera.pairs[0].raw, pixels[..., :3])


def test_a_pipeline_that_cannot_run_leaves_the_frames_as_recorded(step):
  sample.write(step, **{"transform_pipeline/1/params/constants/mean": [0.5]})
  (camera,) = frames.cameras(context.Context(step), 2)
  assert camera.fault
  assert [pair.seen for pair in camera.pairs] == [None, None]


def test_a_picture_that_a_step_would_blow_up_is_refused(step):
  resize = {
    **{"index": 0, "stage": "pre", "op": "resize", "invertible": False},
    **{"input_key": sample.CAMERA, "output_key": sample.CAMERA},
    "code_ref": "x",
    "params": {
      **{"height": 16384, "width": 16384, "method": "nearest"},
      **{"antialias": False, "keep_aspect": False},
    },
  }
  sample.write(step, **{"transform_pipeline/0": resize})
  (camera,) = frames.cameras(context.Context(step), 2)
  assert camera.fault == "step 0 makes 268435456 pixels"


def test_the_drawing_joins_sensors_in_the_model(original):
  found = boxes.build(schema.read(original / directory.PASSPORT))
  assert [box.title for box in found] == [
    *(sample.CAMERA, "0 scale", "1 standardize", "state", "2 standardize"),
    *("Policy", "3 unstandardize", "4 execute_chunk", "command"),
  ]
  model = found[5]
  assert [box.title for box in model.above] == [
    "1 standardize",
    "2 standardize",
  ]
  assert [box.column for box in found[:5]] == [0, 0, 0, 1, 1]
  for box in found:
    for above in box.above:
      assert above.top + above.height < box.top
  for box in found:  # no two boxes lie on each other
    for other in found:
      apart = (
        box.top >= other.top + other.height
        or other.top >= box.top + box.height
        or box.left >= other.left + other.width
        or other.left >= box.left + box.width
      )
      assert box is other or apart
  assert "mean 0.485, 0.456," in found[2].lines


def test_a_step_that_joins_keys_is_as_wide_as_they_are(step):
  join = {
    **{"index": 3, "stage": "pre", "op": "concatenate", "invertible": False},
    **{"input_key": "all", "output_key": "all", "code_ref": "x"},
    "params": {"keys": ["state", sample.CAMERA], "axis": "features"},
  }
  found = boxes.build(sample.passport(step, **{"transform_pipeline/3": join}))
  joined, model = found[5:7]
  assert (joined.title, joined.column, joined.columns) == (
    "3 concatenate",
    0,
    2,
  )
  assert [box.title for box in joined.above] == [
    "2 standardize",
    "1 standardize",
  ]
  assert model.above == [joined]


def test_a_camera_without_steps_goes_straight_to_the_model(step):
  made = sample.passport(step, transform_pipeline=[])
  camera, model, command = boxes.build(made)
  assert (camera.title, model.above) == (sample.CAMERA, [camera])
  assert command.above == [model]


def test_statistics_have_the_names_of_the_contract(original):
  action, state = statistics.features(context.Context(original))
  assert (action.key, action.names) == ("action", ("elbow", "wrist"))
  assert state.columns["mean"] == (0.0, 0.125, 0.25)
  assert tuple(state.columns) == statistics.COLUMNS


@pytest.mark.parametrize(
  "block", [{}, {"state": 3, "action": []}, {"state": {"mean": ["x"]}}, [1]]
)
def test_statistics_that_are_none_are_told_as_a_fault(step, block):
  (step / "stats.json").write_text(json.dumps(block))
  for feature in statistics.features(context.Context(step)):
    assert feature.fault
  assert "no such statistics" in Reader(build(step)).text


def test_numbers_are_written_as_people_read_them():
  assert markup.number(-0.000012345678) == "\u22121.2346e\u221205"
  assert markup.element("p", 1.0, "<", markup.element("br_", None)) == (
    "<p>1&lt;<br_></br_></p>"
  )


def test_the_command_writes_the_page_beside_its_output(step, tmp_path, capsys):
  place = tmp_path / "report.html"
  code = validate_command.main([str(step), f"--html={place}", "--format=json"])
  out, err = capsys.readouterr()
  assert json.loads(out)["exit_code"] == code
  assert err == f"report: {place}\n"
  assert f"exit code {code}." in place.read_text()


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
  hostile(step)
  place = tmp_path / "report.html"
  place.write_text(build(step))
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
