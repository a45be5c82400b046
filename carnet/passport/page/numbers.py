"""Tables of numbers: statistics, golden actions, smoke tests, round trips."""

import numpy as np

from carnet import errors
from carnet.passport import context, model, reference_data, schema, statistics
from carnet.passport.page import markup, plots

Element = markup.Element
_MOST_PLOTS, _MOST_FRAMES = 32, 500


def statistics_tables(found: context.Context) -> Element:
  """Returns a table for each feature that is normalised with statistics."""
  features = statistics.features(found)
  if not features:
    return markup.element("p", "Nothing is normalised with statistics.")
  note = markup.element(
    "p",
    "The bars go from min to max; the thick part is q01 to q99, the mark the "
    "mean.",
    class_="muted",
  )
  return markup.join(note, *map(_feature, features))


def _feature(feature: statistics.Feature) -> Element:
  caption = f"{feature.key} in {feature.file}"
  if feature.fault:
    return markup.element("p", f"{caption}: {feature.fault}")
  columns = feature.columns
  body: list[tuple[markup.Child, ...]] = []
  for index, name in enumerate(feature.names):
    values = {key: column[index] for key, column in columns.items()}
    cells = [markup.number(values[key]) for key in columns]
    body.append((name, *cells, _bar(values)))
  numeric = tuple(range(1, len(columns) + 1))
  return markup.table(caption, ("element", *columns, "range"), body, numeric)


def _bar(values: dict[str, float]) -> Element | None:
  if "min" not in values or "max" not in values:
    return None
  inner = None
  if "q01" in values and "q99" in values:
    inner = (values["q01"], values["q99"])
  return plots.bar(values["min"], values["max"], inner, values.get("mean"))


def golden_actions(found: context.Context) -> Element:
  """Returns a plot of each dimension of the actions that are expected."""
  vector = found.passport.reference_test_vector
  if vector is None:
    return markup.element("p", "There is no reference test vector.")
  try:
    actions = _actions(found, vector.expected_actions_path)
  except errors.UserError as error:
    return markup.element("p", str(error))
  names = _names(found.passport, actions.shape[1])
  figures = [
    plots.line(actions[:, index].tolist(), name)
    for index, name in enumerate(names[:_MOST_PLOTS])
  ]
  said = (
    f"{vector.n_frames} frames of episode {vector.episode} of "
    f"{vector.source_dataset}; another machine must agree within "
    f"{markup.number(vector.atol)} + {markup.number(vector.rtol)} |action|."
  )
  return markup.join(
    markup.element("p", said),
    markup.element("div", *figures, class_="plots"),
  )


def _actions(found: context.Context, path: str) -> np.ndarray:
  """Returns [frame, dimension]: as many as are drawn."""
  actions = reference_data.matrix(found, path)[:_MOST_FRAMES, :_MOST_PLOTS]
  if not np.isfinite(actions).all():
    raise errors.UserError("expected actions are not finite")
  return actions


def _names(passport: schema.Passport, width: int) -> list[str]:
  names = [f"action {index}" for index in range(width)]
  contract = passport.input_contract
  for key in contract.actions.sub_keys if contract else ():
    for index in range(key.start, min(key.stop, width)):
      inside = f" {index - key.start}" if key.stop - key.start > 1 else ""
      names[index] = f"{key.name}{inside}"
  return names


def smoke(passport: schema.Passport) -> Element:
  """Returns the five smoke tests."""
  found = passport.output_spec.smoke_results
  if found is None:
    return markup.element("p", "The smoke tests were not run.")
  return markup.join(
    markup.element("p", f"Recorded through {found.entry_point}."),
    markup.table(
      "Smoke tests",
      ("test", "status", "measured"),
      [
        ("determinism", markup.badge(found.determinism.status), _same(found)),
        ("NaN and infinity", markup.badge(found.nan_inf.status), _sound(found)),
        ("liveness", markup.badge(found.liveness.status), _alive(found)),
        (
          "distribution",
          markup.badge(found.distribution.status),
          _spread(found),
        ),
        ("range", markup.badge(found.range_check.status), _within(found)),
      ],
    ),
  )


def _same(found: model.SmokeResults) -> str:
  runs = found.determinism
  differ, allowed = map(markup.number, (runs.max_abs_diff, runs.allowed))
  return (
    f"{runs.n_runs} runs differ by {differ}, allowed {allowed}, on "
    f"{runs.platform}"
  )


def _sound(found: model.SmokeResults) -> str:
  values = found.nan_inf
  return (
    f"{values.n_nan} NaN and {values.n_inf} infinite of {values.n_values:,} "
    "values"
  )


def _alive(found: model.SmokeResults) -> str:
  moved = ", ".join(
    f"{key} {markup.number(value)}"
    for key, value in found.liveness.input_sensitivity.items()
  )
  dead = len(found.liveness.dead_output_dims)
  return f"outputs move with each input: {moved}; {dead} dimensions are dead"


def _spread(found: model.SmokeResults) -> str:
  told = f"{found.distribution.n_samples} samples"
  if found.distribution.max_z is None:
    return told
  far, allowed = map(
    markup.number, (found.distribution.max_z, found.distribution.allowed_z)
  )
  return (
    f"{told}, at most {far} standard deviations from the data, allowed "
    f"{allowed}"
  )


def _within(found: model.SmokeResults) -> str:
  range_ = found.range_check
  return (
    f"{range_.n_violations} outside of {range_.bound_source}, worst "
    f"{markup.number(range_.worst)}"
  )


def round_trips(passport: schema.Passport) -> Element:
  """Returns every step that was undone again."""
  found = passport.norm_round_trip_results
  if not found:
    return markup.element("p", "No normalisation was undone.")
  ops = {step.index: step.op for step in passport.transform_pipeline}
  body: list[tuple[markup.Child, ...]] = [
    (
      f"{row.step_index} {ops.get(row.step_index, '')}",
      markup.badge(row.status),
      markup.number(row.max_abs_error),
      markup.number(row.tolerance),
      "yes" if row.within_clip_bound else "no",
    )
    for row in found
  ]
  head = ("step", "status", "largest error", "tolerance", "within clipping")
  return markup.table("Round trips of normalisations", head, body, (2, 3))
