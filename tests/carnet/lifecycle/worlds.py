"""Runs with a signed, evaluated step, and what they do to a deployment."""

import dataclasses
import json

import sample

from carnet import intervals
from carnet.checkpoint import directory
from carnet.lifecycle import promotion, rolling_back
from carnet.passport import context


def run(original, root, name, **papers):
  """Copies the step to a new run, issues and signs its papers, evaluates it."""
  step = sample.copy(original, root)
  sample.write(step, **{"generator/version": name})
  sample.sign(step, **papers)
  evaluate(step)
  return step


def evaluate(step, successes=9, episodes=10, **changes):
  """Files the results of an evaluation, as scripts/eval.py does."""
  number = directory.read_manifest(step).step
  place = step.parent.parent / "evaluation" / f"{number:09d}" / "results.json"
  place.parent.mkdir(parents=True, exist_ok=True)
  place.write_text(
    json.dumps(results(step, number, successes, episodes) | changes)
  )
  return place


def results(step, number, successes, episodes):
  """Returns the content of results.json; None successes: there is no such."""
  summary = {
    "episodes": episodes,
    "mean_return": 2.5,
    "standard_error": 0.25,
    "lowest_return": 0.0,
    "highest_return": 4.0,
    "success_rate": None,
  }
  if successes is not None:
    low, high = intervals.wilson(successes, episodes)
    summary |= {
      "successes": successes,
      "success_rate": successes / episodes,
      "low": low,
      "high": high,
    }
  return {"checkpoint": str(step), "step": number, "summary": summary}


def _request(reason, **options):
  """Returns a request of "tester"; what the gate asks is among the options."""
  names = {field.name for field in dataclasses.fields(context.Options)}
  asked = {k: v for k, v in options.items() if k in names}
  rest = {k: v for k, v in options.items() if k not in names}
  return promotion.Request(reason, "tester", context.Options(**asked), **rest)


def promote(step, deployment, reason="good", **options):
  """Promotes as "tester"; returns the record."""
  request = _request(reason, **options)
  return promotion.promote(step, deployment, request).record


def rollback(deployment, to="", reason="bad", **options):
  """Rolls back as "tester"; returns the record."""
  request = _request(reason, **options)
  return rolling_back.rollback(deployment, request, to).record


def lines(deployment):
  """Returns the lines of the history."""
  return (deployment / "history.jsonl").read_bytes().splitlines(keepends=True)


def tree(root):
  """Returns all that lies below a directory: path -> content, or link."""
  found = {}
  for path in sorted(root.rglob("*")):
    name = str(path.relative_to(root))
    if path.is_symlink():
      found[name] = f"-> {path.readlink()}"
    else:
      found[name] = path.read_bytes() if path.is_file() else None
  return found
