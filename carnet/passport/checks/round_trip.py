"""Every normalisation undone, as recorded."""

from collections.abc import Iterator

from carnet.passport import context, outcome
from carnet.passport.checks import parts

# operations that normalise, and those that a round trip undoes besides
NORMALISING = (
  *("standardize", "unstandardize", "to_unit_range", "from_unit_range"),
  "symlog",
)
UNDONE = (*NORMALISING, "scale", "from_bounds")
# float32 comes back to 1e-5 of what went in; a larger promise is none
LARGEST_TOLERANCE = 1.0


def norm_round_trip(found: context.Context) -> outcome.Finding:
  """Pass: every normalising step was undone, within its tolerance.

  Fail: a step without a result, that cannot be undone, or that missed.
  """
  own = {
    step.index: step
    for step in found.passport.transform_pipeline
    if step.op in UNDONE and step.executed_by == "policy"
  }
  faults = [
    outcome.failed(
      f"step {index} ({step.op} of '{step.input_key}') cannot be undone",
      f"/transform_pipeline/{index}/invertible",
      "true",
      "false",
      "normalise with the statistics of the training, not each chunk's own",
    )
    for index, step in own.items()
    if not step.invertible and step.op in NORMALISING
  ]
  wanted = [index for index, step in own.items() if step.invertible]
  results = found.passport.norm_round_trip_results
  done = [row.step_index for row in results or ()]
  missing = sorted(set(wanted) - set(done))
  if missing:
    faults.append(
      outcome.failed(
        f"no round trip of the steps {missing}",
        "/norm_round_trip_results",
        sorted(wanted),
        done,
        parts.MEASURE,
      )
    )
  faults += _missed(found)
  worst = max((row.max_abs_error for row in results or ()), default=0.0)
  return outcome.first(faults, f"{len(done)} steps, worst error {worst:.2g}")


def _missed(found: context.Context) -> Iterator[outcome.Finding]:
  rows = found.passport.norm_round_trip_results or ()
  known = {step.index for step in found.passport.transform_pipeline}
  seen: set[int] = set()
  for index, row in enumerate(rows):
    where = f"/norm_round_trip_results/{index}"
    sound = 0 <= row.max_abs_error <= row.tolerance and row.within_clip_bound
    if row.status == "fail" or not sound:
      yield outcome.failed(
        f"step {row.step_index} came back {row.max_abs_error:.3g} away, "
        f"status '{row.status}'",
        where,
        f"at most {row.tolerance:.3g}",
        f"{row.max_abs_error:.3g}",
        parts.MEASURE,
      )
    if row.tolerance > LARGEST_TOLERANCE:
      yield outcome.failed(
        f"a tolerance of {row.tolerance:.3g} promises nothing",
        f"{where}/tolerance",
        f"at most {LARGEST_TOLERANCE}",
        row.tolerance,
        parts.MEASURE,
      )
    again = row.step_index in seen
    seen.add(row.step_index)
    if again or row.step_index not in known:
      yield outcome.failed(
        f"step {row.step_index} {'twice' if again else 'does not exist'}",
        f"{where}/step_index",
        remedy=parts.MEASURE,
      )
