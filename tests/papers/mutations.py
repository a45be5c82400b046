"""Every field of a passport, changed one at a time."""

import copy
import json

from carnet.checkpoint import directory
from carnet.passport import context, outcome, schema, validate

SECTIONS = (
  "input_contract",
  "transform_pipeline",
  "weight_integrity",
  "provenance",
)
# What no check can compare with anything in the checkpoint, and why.
BEYOND = {
  "physical_mounting": "where a camera sits: a person looks",
  "camera_serial": "needs the robot: --device-map",
  "camera_usb_path": "needs the robot: --device-map",
  "unit": "prose",
  "absolute_dims_reason": "prose",
}


def fields(document):
  """Yields the path of each field in the sections, as a tuple of keys."""
  for section in SECTIONS:
    yield from _leaves(document[section], (section,))


def _leaves(value, path):
  if isinstance(value, dict) and value:
    for key, item in value.items():
      yield from _leaves(item, (*path, key))
  elif isinstance(value, list) and value:
    for index, item in enumerate(value):
      yield from _leaves(item, (*path, index))
  else:
    yield path


def is_beyond(path):
  """Tells whether a field cannot be checked by nature."""
  return any(key in BEYOND for key in path)


def changed(document, path):
  """Returns the document with another value at a path, of the same kind."""
  mutant = copy.deepcopy(document)
  node = mutant
  for key in path[:-1]:
    node = node[key]
  node[path[-1]] = _other(node[path[-1]])
  return mutant


def _other(value):
  if isinstance(value, bool):
    return not value
  if isinstance(value, int):
    return value + 1
  if isinstance(value, float):
    return value * 1.5 + 0.3 if value != -0.6 else 0.0
  if isinstance(value, str):
    return _other_text(value)
  return ["changed"] if value in ([], {}) else "changed"


def _other_text(value):
  """Swaps the last character for another of its kind: still a digest."""
  if not value:
    return "x"
  last = value[-1]
  digits = "0123456789"
  if last in digits:
    return value[:-1] + digits[(digits.index(last) + 1) % 10]
  return value[:-1] + ("b" if last == "a" else "a")


def undetected(step):
  """Returns how many fields were changed, and those that nothing noticed.

  The passport alone is written again: no sign-off helps here.
  """
  original = json.loads((step / directory.PASSPORT).read_bytes())
  known = context.Context(step)
  entries, digests, manifest = known.entries, known.digests, known.manifest
  baseline = _red(step, entries, digests, manifest)
  count, missed = 0, []
  for path in fields(original):
    if is_beyond(path):
      continue
    count += 1
    mutant = changed(original, path)
    text = json.dumps(mutant, indent=2, sort_keys=True) + "\n"
    (step / directory.PASSPORT).write_text(text)
    if not _red(step, entries, digests, manifest) - baseline:
      missed.append("/".join(map(str, path)))
  (step / directory.PASSPORT).write_bytes(
    schema.encode(schema.Passport.model_validate_json(json.dumps(original)))
  )
  return count, missed


def _red(step, entries, digests, manifest):
  """Returns the checks that fail or are soft; digests are those of before."""
  found = context.Context(step)
  found.__dict__.update(entries=entries, digests=digests, manifest=manifest)
  report = validate.examine(found)
  bad = (outcome.Status.FAIL, outcome.Status.SOFT)
  return {
    result.check.id
    for result in report.results
    if result.status in bad and result.check.group != "signoff"
  }
