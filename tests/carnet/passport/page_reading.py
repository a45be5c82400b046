"""Pages built and read as a browser reads them, and hostile passports."""

import html.parser
import json

import pydantic

from carnet.checkpoint import directory
from carnet.passport import (
  context,
  page,
  schema,
  validate,
)
from carnet.passport.formats import rows

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x1b["
VOID = {"meta", "img"}


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
