"""What a passport claims, measured once more by running the policy.

A fresh process runs it, on the reference frames of the checkpoint: no dataset
is needed.
"""

import dataclasses
import functools
import pathlib
import tempfile
from collections.abc import Callable

import numpy as np

from carnet.passport import (
  context,
  family,
  generate,
  measured,
  model,
  npy,
  once,
  outcome,
)

_BUCKETS = tuple(model.SmokeResults.model_fields)[2:]


@dataclasses.dataclass(frozen=True)
class Again:
  """What a fresh process told, and its answers to the reference frames."""

  measured: measured.Measured
  answers: np.ndarray


Context = context.Context
_Judge = Callable[[Context, Again], outcome.Finding]


@once.Once  # all checks below ask for one run
def _again(found: Context) -> Again | None:
  """Returns what is measured now; None if nobody can run the policy."""
  options = found.options
  passport = found.passport
  config = found.json(passport.provenance.config_path)
  agents = {entry.name for entry in family.entries(family.EXAMINATIONS)}
  if not options.entry and config.get("agent") not in agents:
    return None
  words = ["--again", *(f"--import={name}" for name in options.modules)]
  if options.entry:
    words.append(f"--entry={options.entry}")
  with tempfile.TemporaryDirectory() as scratch:
    output = pathlib.Path(scratch)
    got = generate.measure(found.path, passport, output, words)
    vector = got.reference_test_vector
    assert vector is not None  # stored frames were given
    answers = np.load(output / vector.expected_actions_path, allow_pickle=False)
  return Again(got, answers)


def _measured_again(check: _Judge) -> Callable[[Context], outcome.Finding]:
  """Makes a check out of one that is told what was measured."""

  @functools.wraps(check)
  def run(found: Context) -> outcome.Finding:
    passport = found.passport
    vector = passport.reference_test_vector
    if passport.input_contract is None or vector is None:
      return outcome.not_checked(
        "there is no contract, or no reference data", "generate-passport"
      )
    again = _again(found)
    if again is None:
      return outcome.not_checked(
        "nobody here knows how to run this policy", "--entry MODULE:FUNCTION"
      )
    return check(found, again)

  return run


@_measured_again
def golden_replay(found: Context, again: Again) -> outcome.Finding:
  """Pass: the policy answers the reference frames as it did when issued.

  Fail: an action differs by more than atol + rtol |expected|. Not checked:
  without --rerun, or where nobody can run the policy.
  """
  vector = found.passport.reference_test_vector
  assert vector is not None  # there would be nothing to answer
  expected = npy.read(found, vector.expected_actions_path)
  answers = again.answers
  if answers.shape != expected.shape:
    return outcome.failed(
      "the policy's answers have another shape",
      vector.expected_actions_path,
      expected.shape,
      answers.shape,
    )
  away = np.abs(answers.astype(float) - expected.astype(float))
  allowed = vector.atol + vector.rtol * np.abs(expected.astype(float))
  worst = float(away.max(initial=0.0))
  if not np.all(away <= allowed):
    frame = int(np.argmax(np.max(away - allowed, axis=-1)))
    return outcome.failed(
      f"frame {frame} is answered otherwise, by {worst:.3g} at most",
      vector.expected_actions_path,
      f"within {vector.atol:g} + {vector.rtol:g} |expected|",
      f"{worst:.3g}",
      "compare versions and settings: identity/required_versions",
    )
  return outcome.passed(f"{len(answers)} frames, differing by {worst:.3g}")


@_measured_again
def smoke_recomputed(found: Context, again: Again) -> outcome.Finding:
  """Pass: all five buckets again. Fail: one not. Not checked: no rerun."""
  failing = [
    name
    for name in _BUCKETS
    if getattr(again.measured.smoke_results, name).status == "fail"
  ]
  if failing:
    return outcome.failed(
      f"{', '.join(failing)} fail now",
      f"/output_spec/smoke_results/{failing[0]}",
      "pass",
      "fail",
    )
  return outcome.passed(f"{len(_BUCKETS)} buckets, recomputed")


@_measured_again
def norm_round_trip_recomputed(found: Context, again: Again) -> outcome.Finding:
  """Pass: all invertible steps come back. Fail: else. Not checked: no rerun."""
  now = again.measured.norm_round_trip_results
  told = found.passport.norm_round_trip_results or ()
  lost = [row.step_index for row in now if row.status == "fail"]
  if lost or {r.step_index for r in now} != {r.step_index for r in told}:
    return outcome.failed(
      "round trips differ from those that are recorded",
      "/norm_round_trip_results",
      f"steps {[row.step_index for row in told]}, all pass",
      f"steps {[row.step_index for row in now]}, failing {lost}",
    )
  worst = max((row.max_abs_error for row in now), default=0.0)
  return outcome.passed(f"{len(now)} steps, worst error {worst:.3g}")


@_measured_again
def state_dict_recomputed(found: Context, again: Again) -> outcome.Finding:
  """Pass: leaves fit the code here. Fail: else. Not checked: no rerun."""
  told, now = (
    found.passport.model_internals.state_dict,
    again.measured.state_dict,
  )
  if now != told:
    return outcome.failed(
      "the model's code expects other leaves than when it was issued",
      "/model_internals/state_dict",
      str(told)[:200],
      str(now)[:200],
    )
  return outcome.passed(f"{now.found_keys_count} leaves fit the code")


_ALL = (
  golden_replay,
  smoke_recomputed,
  norm_round_trip_recomputed,
  state_dict_recomputed,
)
CHECKS = outcome.group(
  "rerun",
  hard=_ALL,
  needs={check.__name__: ("rerun", "model") for check in _ALL},
)
