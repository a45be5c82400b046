"""Claims are measured again on request, and a lie in them is found."""

import numpy as np
import pytest

from carnet.checkpoint import digest, directory
from carnet.passport import context, outcome, schema, validate

ON_REQUEST = {
  "golden_replay",
  "smoke_recomputed",
  "norm_round_trip_recomputed",
  "state_dict_recomputed",
  "pipeline_matches_code",
  "tree_digest_recomputed",
  "weights_finite_recomputed",
}


def _findings(step):
  report = validate.validate(step, context.Options(rerun=True))
  return {
    result.check.id: (result.status, result.finding.evidence)
    for result in report.results
    if result.check.id in ON_REQUEST
  }


@pytest.mark.parametrize("name", ["act", "catch", "walker"])
def test_all_claims_hold_again(name, request):
  found = _findings(request.getfixturevalue(f"{name}_step"))
  assert set(found) == ON_REQUEST
  assert {status for status, _ in found.values()} == {outcome.Status.PASS}
  assert "differing by 0" in found["golden_replay"][1]


def test_answers_that_the_policy_never_gave(act_step, copied):
  """Hashes all right, numbers made up."""
  step = copied(act_step)
  found = schema.read(step / directory.PASSPORT)
  vector = found.reference_test_vector
  place = step / vector.expected_actions_path
  actions = np.load(place)
  actions[3, 5] += 2 * (vector.atol + vector.rtol * abs(actions[3, 5]))
  np.save(place, actions)
  sha256 = digest.file(place)
  files = tuple(
    row.model_copy(update={"sha256": sha256})
    if row.path == vector.expected_actions_path
    else row
    for row in found.weight_integrity.weight_files
  )
  spoiled = found.model_copy(
    update={
      "reference_test_vector": vector.model_copy(
        update={"expected_actions_hash": sha256}
      ),
      "weight_integrity": found.weight_integrity.model_copy(
        update={"weight_files": files}
      ),
    }
  )
  (step / directory.PASSPORT).write_bytes(schema.encode(spoiled))
  status, _ = _findings(step)["golden_replay"]
  assert status is outcome.Status.NOT_CHECKED  # another passport was signed
  (step / directory.SIGNOFF).unlink()
  status, evidence = _findings(step)["golden_replay"]
  assert status is outcome.Status.FAIL
  assert "frame 3" in evidence


def test_without_a_request_nothing_is_run(act_step):
  report = validate.validate(act_step)
  states = {r.status for r in report.results if r.check.id in ON_REQUEST}
  assert states == {outcome.Status.NOT_CHECKED}
