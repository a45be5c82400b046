"""What a checkpoint was worth in simulation, by its metrics and evaluations.

Training files the means of its own evaluations with a step; `scripts/eval.py`
writes workdir/evaluation/STEP/results.json. The larger of the two counts.
"""

import math
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from carnet import errors, intervals
from carnet.checkpoint import digest, directory, manifest
from carnet.lifecycle import records
from carnet.passport import context, fields, shown, strict_json

RESULTS = "results.json"
_LARGEST_BYTES = 1 << 26  # one row an episode
_Z = 1.959963984540054  # of a 95 % interval


class _Summary(pydantic.BaseModel):
  """The part of an evaluation that counts here; see `carnet.rollout`."""

  model_config = pydantic.ConfigDict(strict=True, allow_inf_nan=False)
  episodes: fields.Positive
  mean_return: float
  standard_error: Annotated[float, pydantic.Field(ge=0)] | None = None
  success_rate: float | None
  successes: fields.Count | None = None


class _Results(pydantic.BaseModel):
  model_config = pydantic.ConfigDict(strict=True)
  checkpoint: str
  step: fields.Count
  summary: _Summary
  tree_sha256: fields.Sha256 | None = None  # of what was evaluated, if told


def best(
  path: pathlib.Path,
  found: manifest.Manifest | None,
  results: pathlib.Path | None = None,
) -> records.Success | None:
  """Returns the evaluation with more episodes, or None where there is none.

  Of two with as many, or whose number nobody tells, the file counts.

  Args:
    path: a step directory.
    found: its manifest, None for another program's.
    results: of `scripts/eval.py`, if not beside the step.

  Raises:
    UserError: the file is unsound, or of another step.
  """
  own = of_metrics(path, found) if found else None
  step = None if found is None else found.step
  place = results if results is not None else beside(path, step)
  if results is None and (place is None or not place.exists()):
    return own
  assert place is not None
  filed = of_results(place, found, path.name if results is None else None)
  if own is None:
    return filed
  more = (own.episodes or 0) > (filed.episodes or 0)
  return own if more else filed


def beside(path: pathlib.Path, step: int | None) -> pathlib.Path | None:
  """Returns where `scripts/eval.py` files the results of a step."""
  if step is None:
    return None
  home = path.absolute().parent
  root = home.parent if home.name == directory.STEPS else home
  return root / "evaluation" / directory.step_name(step) / RESULTS


def of_metrics(
  path: pathlib.Path, found: manifest.Manifest
) -> records.Success | None:
  """Returns what training measured when it saved the step, if it did."""
  measured = {
    name.removeprefix("evaluation/"): value
    for name, value in found.metrics.items()
    if name.startswith("evaluation/") and value is not None
  }
  if not measured.keys() & {"success_rate", "mean_return"}:
    return None
  episodes = _configured_episodes(path)
  rate = measured.get("success_rate")
  low, high = measured.get("low"), measured.get("high")
  if rate is not None and not 0 <= rate <= 1:
    raise errors.UserError(f"{path}: the metric success_rate is {rate}")
  if rate is None:
    low, high = _of_mean(measured)
  elif episodes and _is_whole(rate * episodes):
    low, high = intervals.wilson(round(rate * episodes), episodes)
  return _success(
    path,
    rate=rate,
    low=low,
    high=high,
    mean_return=measured.get("mean_return"),
    episodes=episodes,
    origin="metrics",
    results_sha256=None,
  )


def of_results(
  place: pathlib.Path,
  found: manifest.Manifest | None,
  name: str | None = None,
) -> records.Success:
  """Returns what a file of `scripts/eval.py` says.

  Args:
    place: of the file.
    found: the manifest of the checkpoint, None for another program's.
    name: of the directory that must have been evaluated, None for any.

  Raises:
    UserError: it is unsound, contradicts itself, or is of another checkpoint.
  """
  content = strict_json.read(place, _LARGEST_BYTES)
  body = strict_json.decode(content, str(place), _LARGEST_BYTES)
  try:
    told = _Results.model_validate(body)
  except pydantic.ValidationError as error:
    first = error.errors(include_url=False, include_input=False)[0]
    where = "/".join(map(str, first["loc"]))
    raise errors.UserError(f"{place}: /{where}: {first['msg']}") from error
  _check_same(place, told, found)
  evaluated = pathlib.PurePath(told.checkpoint).name
  if name not in (None, evaluated):
    raise errors.UserError(
      f"{place} is of {shown.cut(evaluated)}, not of {name}: say --results if "
      "it is the same"
    )
  summary = told.summary
  low, high = _of_mean(summary.model_dump())
  if summary.success_rate is not None:
    low, high = _interval(place, summary)
  return _success(
    place,
    rate=summary.success_rate,
    low=low,
    high=high,
    mean_return=summary.mean_return,
    episodes=summary.episodes,
    origin="results",
    results_sha256=digest.data(content),
  )


def _success(where: pathlib.Path, **told: Any) -> records.Success:
  """Returns an evaluation whose numbers, and bounds, are finite."""
  try:
    return records.Success(**told)
  except pydantic.ValidationError as error:
    first = error.errors(include_url=False, include_input=False)[0]
    raise errors.UserError(
      f"{where} measured no sound {first['loc'][0]}: {first['msg']}"
    ) from error


def described(found: records.Success) -> str:
  """Returns one line: the rate or the mean return, interval and origin."""
  origin = {"metrics": "of training", "results": "of scripts/eval.py"}
  count = "?" if found.episodes is None else str(found.episodes)
  return f"{measure(found)}, {count} episodes {origin[found.origin]}"


def measure(found: records.Success) -> str:
  """Returns the rate or the mean return, with its interval if there is one."""
  if found.rate is None:
    bounds = _bounds(found, "{:.4g}")
    return f"return {found.mean_return:.4g}{bounds}"
  return f"{found.rate:.0%}{_bounds(found, '{:.0%}')}"


def _bounds(found: records.Success, style: str) -> str:
  if found.low is None or found.high is None:
    return ""
  return f" [{style.format(found.low)}, {style.format(found.high)}]"


def _check_same(
  place: pathlib.Path, told: _Results, found: manifest.Manifest | None
) -> None:
  if found is None:
    return
  if told.step != found.step:
    raise errors.UserError(
      f"{place} is of step {told.step}, the checkpoint of {found.step}"
    )
  if told.tree_sha256 not in (None, found.tree_sha256):
    raise errors.UserError(f"{place} is of a checkpoint with other weights")


def _interval(place: pathlib.Path, summary: _Summary) -> tuple[float, float]:
  successes, count = summary.successes, summary.episodes
  if successes is None or not math.isclose(
    successes / count, summary.success_rate or 0.0, abs_tol=1e-9
  ):
    raise errors.UserError(
      f"{place} contradicts itself: {successes} successes of {count}, and a "
      f"rate of {summary.success_rate}"
    )
  return intervals.wilson(successes, count)


def _of_mean(
  measured: Mapping[str, Any],
) -> tuple[float | None, float | None]:
  """Returns the interval of a mean return, by its standard error."""
  mean, spread = measured.get("mean_return"), measured.get("standard_error")
  if mean is None or spread is None or not spread >= 0:
    return None, None
  return mean - _Z * spread, mean + _Z * spread


def _configured_episodes(path: pathlib.Path) -> int | None:
  """Returns how many episodes the run was told to evaluate, if it says so."""
  try:
    config = context.Context(path).json("config.json")
    count = config["evaluation"]["episodes"]
  except (errors.UserError, OSError, KeyError, TypeError):
    return None
  return count if type(count) is int and count > 0 else None


def _is_whole(number: float) -> bool:
  return math.isclose(number, round(number), abs_tol=1e-6)
