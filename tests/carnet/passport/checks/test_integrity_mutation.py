"""Each field of `weight_integrity` changed alone: some check turns red."""

import json

import checking

from carnet.checkpoint import directory

CHECKS = [c for c in checking.STATIC if c.group != "signoff"]
OTHER = {"kind": "orbax", "item": "loop", "role": "lock", "path": "x"}


def _changed(name, value):
  if name == "sha256":
    return value[:-1] + ("1" if value[-1] == "0" else "0")
  if isinstance(value, bool):
    return not value
  return value + 1 if isinstance(value, int) else OTHER.get(name, "md5")


def _places(node, above=()):
  """Yields the keys to each field that is no object and no list."""
  rows = node.items() if isinstance(node, dict) else enumerate(node)
  for key, value in rows:
    if isinstance(value, dict | list):
      yield from _places(value, (*above, key))
    else:
      yield (*above, key)


def test_every_field_of_the_integrity_section_is_checked(step):
  path = step / directory.PASSPORT
  body = json.loads(path.read_bytes())
  places = list(_places(body["weight_integrity"]))
  missed = []
  for *above, name in places:
    node = body["weight_integrity"]
    for key in above:
      node = node[key]
    before = node[name]
    node[name] = _changed(name, before)
    path.write_text(json.dumps(body))
    if not checking.red(step, CHECKS):
      missed.append((*above, name))
    node[name] = before
  print(f"{len(places) - len(missed)} of {len(places)} detected")
  papers = {directory.PASSPORT, directory.SIGNOFF, directory.SIGNATURE}
  files = [x for x in step.rglob("*") if x.is_file() and x.name not in papers]
  assert len(places) == len(files) * 4 + 7
  assert missed == []
