"""Every invertible step of the pipeline, done and undone on real data."""

import pathlib

import numpy as np

from carnet.passport import history, operations, pipeline, schema, steps
from carnet.passport.dynamic import reference, smoke
from carnet.passport.dynamic import subject as subject_lib

_SAMPLES = reference.FRAMES
# float32 keeps seven digits; a division and its inverse lose one or two
_RELATIVE = 1e-5


def run(
  path: pathlib.Path, draft: schema.Passport, subject: subject_lib.Subject
) -> tuple[history.RoundTrip, ...]:
  """Returns how closely each of the policy's invertible steps comes back.

  Observations go through the steps before the model; the policy's own answers
  go backwards through those after it, which is where they came from.
  """
  call = operations.Call(pipeline.statistics_in(path), np)
  found = _forth(draft.transform_pipeline, _observations(subject), call)
  answers = _answers(subject)
  return (*found, *_back(draft.transform_pipeline, answers, call))


def _observations(subject: subject_lib.Subject) -> dict[str, np.ndarray]:
  if subject.frames is None:
    return subject.calibrate(np.random.default_rng(smoke.SEED), _SAMPLES)
  frames = subject.frames(_SAMPLES).observations
  return {name: np.stack([f[name] for f in frames]) for name in frames[0]}


def _answers(subject: subject_lib.Subject) -> np.ndarray:
  """Returns actions [N, A]."""
  observations = _observations(subject)
  count = len(next(iter(observations.values())))
  rows = tuple({k: x[i] for k, x in observations.items()} for i in range(count))
  return reference.answers(subject, rows, reference.SEED)


def _forth(
  listed: pipeline.Steps, values: dict[str, np.ndarray], call: operations.Call
) -> list[history.RoundTrip]:
  found = []
  held = dict(values)
  for step in pipeline.of(listed, "pre"):
    before = [held[key] for key in pipeline.reads(step)]
    after = operations.apply(step, before, call)
    held[step.output_key] = after
    if step.invertible and operations.has_inverse(step):
      again = operations.invert(step, after, call)
      found.append(_row(step, before[0], again))
  return found


def _back(
  listed: pipeline.Steps, actions: np.ndarray, call: operations.Call
) -> list[history.RoundTrip]:
  found = []
  for step in reversed(pipeline.of(listed, "post")):
    if not (step.invertible and operations.has_inverse(step)):
      continue
    inner = operations.invert(step, actions, call)
    again = operations.apply(step, [inner], call)
    found.append(_row(step, actions, again))
    actions = inner
  return sorted(found, key=lambda row: row.step_index)


def _row(
  step: steps.TransformStep, before: np.ndarray, again: np.ndarray
) -> history.RoundTrip:
  wide = np.asarray(before, np.float64)
  error = float(np.max(np.abs(np.asarray(again, np.float64) - wide)))
  tolerance = _RELATIVE * max(1.0, float(np.max(np.abs(wide))))
  sound = bool(np.isfinite(error)) and error <= tolerance
  return history.RoundTrip(
    step_index=step.index,
    max_abs_error=error,
    tolerance=tolerance,
    within_clip_bound=True,
    status="pass" if sound else "fail",
  )
