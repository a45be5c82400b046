"""The page holds what was found, needs nothing else and obeys no name."""

import base64
import html.parser
import io
import re

import numpy as np
from PIL import Image

from act.inspection import examine, page, report, strips

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\"'>"


class Parser(html.parser.HTMLParser):
  """Collects elements; a page that closes what it did not open fails."""

  def __init__(self):
    super().__init__()
    self.tags, self.open, self.attributes = [], [], []

  def handle_starttag(self, tag, attributes):
    self.tags.append(tag)
    self.attributes += attributes
    if tag != "meta":
      self.open.append(tag)

  def handle_startendtag(self, tag, attributes):
    self.tags.append(tag)
    self.attributes += attributes

  def handle_endtag(self, tag):
    assert self.open.pop() == tag


def build(scene):
  recording = scene.recording()
  found = examine.examine(recording)
  films = strips.cut(recording, found.findings)
  text = page.build(found, films)
  parser = Parser()
  parser.feed(text)
  assert parser.open == []
  return found, films, text, parser


def test_needs_nothing_from_elsewhere(scene):
  _, _, text, parser = build(scene)
  assert not {"script", "link", "iframe", "object", "form"} & set(parser.tags)
  sources = [value for name, value in parser.attributes if name == "src"]
  assert sources
  assert all(x.startswith("data:image/jpeg;base64,") for x in sources)
  links = [value for name, value in parser.attributes if name == "href"]
  assert all(re.fullmatch("#[a-z]+", x) for x in links)
  targets = {value for name, value in parser.attributes if name == "id"}
  assert {x[1:] for x in links} <= targets
  assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text


def test_names_of_the_data_are_text(scene):
  scene.tasks[0] = HOSTILE
  scene.changes["identity"] = HOSTILE
  scene.pictures[HOSTILE] = scene.pictures.pop("top")
  _, _, text, parser = build(scene)
  assert "script" not in parser.tags
  assert "\x1b" not in text
  assert "\u202e" not in text
  assert "&lt;script&gt;" in text


def test_films_show_every_camera_and_where_something_was_found(scene):
  scene.actions[3, 31, 1] += 2
  found, films, _, parser = build(scene)
  jump = next(x for x in found.findings if x.kind == "action jumps")
  assert {x.camera for x in films} == {"top", "wrist"}
  film = next(x for x in films if (x.camera, x.episode) == ("wrist", 6))
  marked = [x.number for x in film.frames if x.marked]
  assert marked == [jump.frame]
  assert [x.number for x in film.frames if not x.marked] == [
    *(0, 8, 17, 25, 34, 42, 51, 59)
  ]
  first = film.frames[0]
  data = base64.b64decode(first.address.partition(",")[2])
  with Image.open(io.BytesIO(data)) as image:
    shown = np.asarray(image).astype(int)
  expected = scene.pictures["wrist"][3, 0].astype(int)
  assert np.abs(shown - expected).mean() < 8
  assert ("class", "marked") in parser.attributes


def test_unreadable_pictures_leave_the_rest_of_the_page(scene):
  scene.broken.add(3)
  _, films, text, _ = build(scene)
  assert films[0].fault == "x.mp4 (episode 3): truncated"
  assert "x.mp4 (episode 3): truncated" in text
  assert films[1].frames


def test_films_fit_into_a_page(scene, monkeypatch):
  recording = scene.recording()
  whole = strips.cut(recording, ())
  monkeypatch.setattr(strips, "_LARGEST_BYTES", 1)
  less = strips.cut(recording, ())
  assert [len(x.frames) for x in less] == [4] * len(whole)
  assert [x.frames[-1].number for x in less] == [59] * len(whole)


def test_findings_are_before_the_films(scene):
  scene.actions[:] = scene.states
  _, _, text, _ = build(scene)
  places = [text.index(f'id="{x}"') for x in ("findings", "films", "ranges")]
  assert places == sorted(places)
  assert "Mend this first" in text


def test_many_episodes_and_findings_make_a_page_all_the_same(scene):
  found = examine.examine(scene.recording())
  many = tuple(report.Episode(i, 5 + i % 7, "x") for i in range(5000))
  finding = report.Finding("kind", "note", "said", "advice")
  changed = found.__class__(
    **{**vars(found), "episodes": many, "findings": (finding,) * 5000}
  )
  text = page.build(changed, ())
  assert len(text) < 500_000
  assert "And 4700 more" in text
  assert "The data hold no pictures" in text
