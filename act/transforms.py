"""The transform pipeline of an ACT checkpoint: steps, described without JAX.

    images/<camera>  uint8 -> 0..1 -> standardised --\
    qpos             standardised as `state` ---------+-> network -> actions
    actions          back to joint targets -> executed one by one

The arithmetic is that of `act.normalize`; `carnet.passport.operations` has it
without JAX.
"""

from typing import Any

from act import checkpoint_facts
from carnet.passport import contract, steps

_IMAGENET = steps.Constants(
  mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)


def of(facts: checkpoint_facts.Facts) -> tuple[steps.TransformStep, ...]:
  """Returns the steps from sensor to network, and from network to command."""
  before = _before(facts)
  return (*before, *_after(facts, len(before)))


def _before(facts: checkpoint_facts.Facts) -> list[steps.TransformStep]:
  chosen = facts.config.normalization
  found: list[steps.TransformStep] = []
  for camera, _ in facts.features.images:
    key = f"images/{camera}"
    found.append(
      steps.Scale(
        index=len(found),
        stage="pre",
        op="scale",
        input_key=key,
        output_key=key,
        invertible=True,
        code_ref="act.normalize:to_unit",
        params=steps.ScaleParams(divisor=255.0, offset=0.0, dtype="uint8"),
      )
    )
    if chosen.images != "identity":
      found.append(_forward(facts, len(found), chosen.images, key, key, key))
  for key, (name, _) in facts.vectors().items():
    found.append(_forward(facts, len(found), chosen.state, key, name, name))
  return found


def _forward(
  facts: checkpoint_facts.Facts,
  index: int,
  mode: str,
  key: str,
  output: str,
  feature: str,
) -> steps.TransformStep:
  """Returns the step that normalises a feature; identity only casts."""
  norm = facts.norm(mode, feature)
  common: dict[str, Any] = {
    "index": index,
    "stage": "pre",
    "input_key": key,
    "output_key": output,
    "invertible": True,
    "code_ref": "act.normalize:batch",
  }
  if mode == "identity":
    params = steps.ScaleParams(divisor=1.0, offset=0.0)
    return steps.Scale(op="scale", params=params, **common)
  if mode in checkpoint_facts.RANGES:
    return steps.ToUnitRange(op="to_unit_range", params=_range(norm), **common)
  return steps.Standardize(op="standardize", params=_moments(norm), **common)


def _after(
  facts: checkpoint_facts.Facts, start: int
) -> list[steps.TransformStep]:
  mode = facts.config.normalization.action
  norm = facts.norm(mode, "action")
  common: dict[str, Any] = {
    "stage": "post",
    "input_key": "actions",
    "code_ref": "act.normalize:actions_inverse",
    "output_key": "actions",
    "invertible": True,
  }
  found: list[steps.TransformStep] = []
  if mode in checkpoint_facts.RANGES:
    found.append(
      steps.FromUnitRange(
        index=start, op="from_unit_range", params=_range(norm), **common
      )
    )
  elif mode != "identity":
    found.append(
      steps.Unstandardize(
        index=start, op="unstandardize", params=_moments(norm), **common
      )
    )
  return [*found, _execute(facts, start + len(found))]


def _execute(facts: checkpoint_facts.Facts, index: int) -> steps.TransformStep:
  chosen = facts.config.model
  return execute(
    index,
    chosen.chunk_size,
    chosen.n_action_steps,
    chosen.temporal_ensemble_coefficient if chosen.temporal_ensemble else None,
  )


def execute(
  index: int, horizon: int, n_action_steps: int, coefficient: float | None
) -> steps.Execute:
  """Returns the step that executes chunks; a coefficient averages them."""
  averages = coefficient is not None
  return steps.Execute(
    index=index,
    stage="post",
    op="execute_chunk",
    input_key="actions",
    output_key="action",
    invertible=False,
    code_ref="act.ensembling:update" if averages else "act.policy:Policy",
    params=steps.ExecuteParams(
      horizon=horizon,
      n_action_steps=1 if averages else n_action_steps,
      temporal_ensemble_coefficient=coefficient,
    ),
  )


def _range(norm: contract.NormSpec) -> steps.RangeParams:
  low, high = checkpoint_facts.RANGES[norm.mode]
  assert norm.stats_fingerprint is not None
  return steps.RangeParams(
    statistics=norm.stats_fingerprint,
    low=low,
    high=high,
    epsilon=norm.epsilon,
  )


def _moments(norm: contract.NormSpec) -> steps.StandardizeParams:
  return steps.StandardizeParams(
    constants=_IMAGENET if norm.mode == "imagenet" else None,
    statistics=norm.stats_fingerprint,
    std_floor=norm.std_floor,
    epsilon=norm.epsilon,
  )
