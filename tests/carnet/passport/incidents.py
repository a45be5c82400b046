"""What replays of incidents have in common."""

import json

import checking
import sample

from carnet.passport.checks import (
  contract,
  identity,
  normalization,
  pipeline,
  reference,
  smoke,
)

CHECKS = (
  *contract.CHECKS,
  *normalization.CHECKS,
  *pipeline.CHECKS,
  *identity.CHECKS,
  *smoke.CHECKS,
  *reference.CHECKS,
)
PIPE = "transform_pipeline"
STATE = "input_contract/state/normalization"


def findings(step):
  """Returns check -> result of those that incidents turn red."""
  return checking.findings(step, CHECKS)


def alarms(step, **options):
  """Returns the checks that are red or soft."""
  results = checking.findings(step, CHECKS, **options)
  return {n for n, r in results.items() if r.status in ("fail", "soft")}


def rows(step):
  """Returns the pipeline's steps as JSON has them."""
  return sample.passport(step).model_dump(mode="json")[PIPE]


def numbered(listed):
  """Returns steps with the numbers of their places."""
  return [{**row, "index": index} for index, row in enumerate(listed)]


def statistics(step, run):
  """Changes stats.json as a training program might write it."""
  place = step / "stats.json"
  blocks = json.loads(place.read_text())
  run(blocks)
  place.write_text(json.dumps(blocks))
  sample.write(step)
