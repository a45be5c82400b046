"""The "passport" entry of a configuration, for policies of other programs.

For a state in and an action out, as most small policies have it; anything
richer is written as the schema has it.
"""

from collections.abc import Sequence
from typing import Any

from carnet.passport import contract, model, steps

_REASON = "the program gives commands, not differences"


def vector(
  state: Sequence[str],
  actions: Sequence[str],
  low: float,
  high: float,
  control_hz: float | None = None,
  key: str = "state",
  model_class: str | None = None,
) -> dict[str, Any]:
  """Returns the entry of a policy from one float32 vector to one action.

  Args:
    state: names of the elements of the vector, as they come.
    actions: names of the elements of the action.
    low: least value of each.
    high: largest value of each.
    control_hz: actions a second.
    key: of the observation.
    model_class: "module:Class" of the network.
  """
  module, _, name = (model_class or "").partition(":")
  return {
    "input_contract": _contract(
      state, actions, low, high, control_hz
    ).model_dump(mode="json"),
    "transform_pipeline": [
      step.model_dump(mode="json") for step in _pipeline(key)
    ],
    "forward_graph": model.ForwardGraph(
      inputs={key: contract.Array(shape=(len(state),), dtype="float32")},
      outputs={
        "action": contract.Array(shape=(len(actions),), dtype="float32")
      },
    ).model_dump(mode="json"),
    "class_module": module or None,
    "class_name": name or None,
  }


def _contract(
  state: Sequence[str],
  actions: Sequence[str],
  low: float,
  high: float,
  control_hz: float | None,
) -> contract.InputContract:
  size = len(actions)
  return contract.InputContract(
    images=(),
    state=contract.State(
      dim=len(state),
      sub_keys=_sub_keys(state),
      normalization=contract.NormSpec(mode="identity"),
    ),
    actions=contract.Actions(
      dim=size,
      horizon=1,
      n_action_steps=1,
      kind="continuous",
      low=(float(low),) * size,
      high=(float(high),) * size,
      sub_keys=_sub_keys(actions),
      norm_mask=(False,) * size,
      delta_dims=contract.DeltaSpec(
        delta_mask=(False,) * size, absolute_dims_reason=_REASON
      ),
      normalization=contract.NormSpec(mode="identity"),
    ),
    language=None,
    temporal=contract.Temporal(
      n_obs_steps=1,
      observation_delta_indices=(0,),
      control_hz=control_hz,
      action_repeat=1,
    ),
    recurrent=None,
  )


def _sub_keys(names: Sequence[str]) -> tuple[contract.SubKey, ...]:
  return tuple(
    contract.SubKey(name=name, start=index, stop=index + 1)
    for index, name in enumerate(names)
  )


def _pipeline(key: str) -> tuple[steps.TransformStep, ...]:
  return (
    steps.Scale(
      index=0,
      stage="pre",
      op="scale",
      params=steps.ScaleParams(divisor=1.0, offset=0.0),
      input_key=key,
      output_key=key,
      invertible=True,
      code_ref="as it comes, float32",
    ),
  )
