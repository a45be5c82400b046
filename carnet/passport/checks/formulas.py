"""Normalisations as the contract has them, against the pipeline's steps."""

from collections.abc import Mapping
from typing import Any

import pydantic

from carnet.passport import chains, contract, difference
from carnet.passport.checks import normalization, round_trip

Rows = list[difference.Difference]
_IMAGENET = {
  "mean": [0.485, 0.456, 0.406],
  "std": [0.229, 0.224, 0.225],
}
_CAST = (1.0, 0.0)
_TO_UNIT = (255.0, 0.0)
_OPS = (*round_trip.UNDONE, "one_hot")
_INVERSE = {"standardize": "unstandardize", "to_unit_range": "from_unit_range"}
_Wanted = list[tuple[str, dict[str, Any]]]


def plain(part: pydantic.BaseModel | None) -> Any:
  """Returns a part of a passport as JSON has it."""
  return None if part is None else part.model_dump(mode="json")


def of_image(way: chains.Steps, image: contract.Image, where: str) -> Rows:
  """Returns how a camera's steps differ from its formula."""
  spec = image.normalization
  present = [step for step in way if step.op in _OPS]
  mode = spec.mode if spec else "identity"
  if mode == "scale":
    assert spec is not None
    wanted = [
      ("scale", {"divisor": _inverse(spec.factor), "offset": spec.offset})
    ]
    return _compare(wanted, present, where)
  present = [step for step in present if _scale(step) != _CAST]
  scaled = bool(present) and _scale(present[0]) == _TO_UNIT
  if mode != "identity" and image.dtype == "uint8" and not scaled:
    wanted_first = f"division by 255, then {mode}"
    return [
      difference.Difference(
        f"{where}/normalization", _ops(present), wanted_first
      )
    ]
  return _compare(_wanted(spec), present[1:] if scaled else present, where)


def of_vector(way: chains.Steps, state: contract.State, key: str) -> Rows:
  """Returns how the steps of one vector differ from the state's formula."""
  spec, where = state.normalization, "/input_contract/state"
  present = [step for step in _without_casts(way) if step.op in _OPS]
  if spec is not None and spec.mode in ("symlog", "one_hot"):
    known = ("symlog", "one_hot") if spec.mode == "symlog" else ("one_hot",)
    if len(present) == 1 and present[0].op in known:
      return []
    wanted = f"{spec.mode} of '{key}'"
    return [
      difference.Difference(f"{where}/normalization", _ops(present), wanted)
    ]
  wanted_rows = _wanted(spec)
  several = [p.name for p in state.sub_keys if p.name != key]
  own = any(part.name == key for part in state.sub_keys)
  if own and several and present:  # each vector has statistics of its own
    for _, params in wanted_rows:
      pin = plain(getattr(present[0].params, "statistics", None))
      same = pin and pin["file_sha256"] == params["statistics"]["file_sha256"]
      params["statistics"] = pin if same else params["statistics"]
  return _compare(wanted_rows, present, where)


def of_state(listed: chains.Steps, needed: contract.InputContract) -> Rows:
  """Returns a row where the state has a formula that no vector goes through."""
  spec = needed.state.normalization
  keys = chains.vector_keys(listed, needed.images)
  ways = [chains.of(listed, "pre", key) for key in keys]
  ops = {step.op for way in ways for step in way}
  if spec is None or spec.mode == "identity":
    return []
  wanted = {op for op, _ in _wanted(spec)}
  if wanted <= ops:
    return []
  return [
    difference.Difference(
      "/input_contract/state/normalization",
      f"{', '.join(sorted(ops)) or 'no step'} in the pipeline",
      spec.mode,
    )
  ]


def of_actions(listed: chains.Steps, actions: contract.Actions) -> Rows:
  """Returns how the steps behind the model differ from the actions' formula."""
  spec, where = actions.normalization, "/input_contract/actions"
  present = [s for s in listed if s.stage == "post" and s.op in _OPS]
  if spec is not None and spec.mode == "min_max" and not spec.stats_fingerprint:
    return _bounds(present, actions)
  wanted = [(_INVERSE.get(op, op), params) for op, params in _wanted(spec)]
  return _compare(wanted, _without_casts(present), where)


def _bounds(present: chains.Steps, actions: contract.Actions) -> Rows:
  """Compares the bounds that actions are scaled to, vector by vector."""
  where = "/input_contract/actions"
  if not present or any(step.op != "from_bounds" for step in present):
    return [
      difference.Difference(
        f"{where}/normalization", _ops(present), "from_bounds"
      )
    ]
  rows: Rows = []
  clip = actions.normalization.clip if actions.normalization else None
  for step in present:
    params = plain(step.params)
    place = f"/transform_pipeline/{step.index}/params"
    rows += difference.differences(
      clip is not None, params["clip"], f"{place}/clip"
    )
    slices = [x for x in actions.sub_keys if x.name == step.input_key]
    part = slice(slices[0].start, slices[0].stop) if slices else slice(None)
    for name in ("low", "high"):
      wanted = getattr(actions, name)
      if wanted is not None and len(params[name] or ()) != 1:
        rows += difference.differences(
          list(wanted[part]), params[name], f"{place}/{name}"
        )
  return rows


def _wanted(spec: contract.NormSpec | None) -> _Wanted:
  """Returns operations and parameters that a formula stands for."""
  if spec is None or spec.mode == "identity":
    return []
  pin = plain(spec.stats_fingerprint)
  if spec.mode in ("mean_std", "imagenet"):
    params = {"std_floor": spec.std_floor, "epsilon": spec.epsilon}
    constants = _IMAGENET if spec.mode == "imagenet" else None
    return [
      ("standardize", {"statistics": pin, "constants": constants, **params})
    ]
  if spec.mode in normalization.READS:
    low, high = normalization.READS[spec.mode]
    params_of_range = {"low": low, "high": high, "epsilon": spec.epsilon}
    return [("to_unit_range", {"statistics": pin, **params_of_range})]
  if spec.mode == "scale":
    return [
      ("scale", {"divisor": _inverse(spec.factor), "offset": spec.offset})
    ]
  return [(spec.mode, {})]


def _compare(wanted: _Wanted, present: chains.Steps, where: str) -> Rows:
  if [op for op, _ in wanted] != [step.op for step in present]:
    names = ", ".join(op for op, _ in wanted) or "no normalisation"
    return [
      difference.Difference(f"{where}/normalization", _ops(present), names)
    ]
  rows: Rows = []
  for (_, params), step in zip(wanted, present, strict=True):
    found: Mapping[str, Any] = plain(step.params)
    place = f"/transform_pipeline/{step.index}/params"
    for name, value in params.items():
      if name == "divisor" and _close(value, found[name]):
        continue
      rows += difference.differences(value, found[name], f"{place}/{name}")
  return rows


def _without_casts(way: chains.Steps) -> chains.Steps:
  """Leaves out steps that only cast."""
  return [step for step in way if _scale(step) != _CAST]


def _scale(step: Any) -> tuple[float, float] | None:
  if step.op != "scale":
    return None
  return step.params.divisor, step.params.offset


def _inverse(factor: float | None) -> float | None:
  return 1 / factor if factor else None


def _close(one: float | None, other: float) -> bool:
  return one is not None and abs(one - other) <= 1e-9 * abs(other)


def _ops(present: chains.Steps) -> str:
  return ", ".join(step.op for step in present) or "no such step"
