"""What the files of a DreamerV3 checkpoint tell of its policy, without JAX."""

import pathlib

import pydantic

from carnet import errors
from carnet.passport import context, contract, family, model, schema
from dreamer import checkpoint_facts, transforms

VECTOR, IMAGES = transforms.VECTOR, transforms.IMAGES
_ABSOLUTE = (
  "Actions are the environment's controls as they are, none relative to a "
  "state or to the action before."
)


def describe(directory: pathlib.Path) -> family.Description:
  """Returns what the files of a step directory tell.

  Raises:
    UserError: one is absent or unsound, or they contradict each other.
  """
  facts = checkpoint_facts.Facts(context.Context(directory))
  try:
    return _description(facts)
  except pydantic.ValidationError as error:
    raise errors.UserError(f"{directory}: {schema.faults(error)}") from error


def _description(facts: checkpoint_facts.Facts) -> family.Description:
  config = facts.config
  return family.Description(
    name="dreamerv3",
    input_contract=_input_contract(facts),
    transform_pipeline=transforms.of(facts),
    inference_parameters={
      "actions": config.evaluation.actions,
      "latent_unimix": config.rssm.unimix,
      "action_unimix": config.actor.unimix
      if config.actor.apply_unimix
      else 0.0,
    },
    forward_graph=_forward_graph(facts),
    class_name="Agent",
    class_module="dreamer.agent",
    pretrained=(),
    roles={"config.json": "config", "spaces.json": "config"},
    needed=r"agent/params/.*",
    trainable=r"agent/params/.*",
  )


def _input_contract(facts: checkpoint_facts.Facts) -> contract.InputContract:
  environment = facts.config.environment
  return contract.InputContract(
    images=tuple(
      _image(name, space, transforms.resize_of(facts))
      for name, space in facts.images.items()
    ),
    state=_state(facts),
    actions=_actions(facts),
    language=None,
    temporal=contract.Temporal(
      n_obs_steps=1,
      observation_delta_indices=(0,),
      control_hz=facts.spaces.control_hz,
      action_repeat=environment.frames_per_step,
    ),
    recurrent=_recurrent(facts),
  )


def _image(
  name: str, space: checkpoint_facts.Space, resize: contract.Resize | None
) -> contract.Image:
  height, width, channels = space.shape
  return contract.Image(
    key=name,
    short_key=name.replace("/", "_"),
    shape=(height, width, channels),
    resize=resize,
    color={1: "GRAY", 3: "RGB"}.get(channels, "OTHER"),  # type: ignore[arg-type]
    layout="HWC",
    dtype="uint8",
    value_range=(0.0, 255.0),
    normalization=contract.NormSpec(mode="scale", factor=1 / 255, offset=-0.5),
  )


def _state(facts: checkpoint_facts.Facts) -> contract.State:
  """Returns the vector: discrete keys one-hot, the others under symlog."""
  spaces = facts.vectors
  shown = _layout({k: space.width for k, space in spaces.items()})
  stored = _layout({k: space.elements for k, space in spaces.items()})
  norm = None
  if spaces:
    squashes = any(not space.classes for space in spaces.values())
    norm = contract.NormSpec(mode="symlog" if squashes else "one_hot")
  return contract.State(
    dim=shown[-1].stop if shown else 0,
    sub_keys=shown,
    dataset_sub_keys=stored if stored != shown else None,
    normalization=norm,
  )


def _layout(sizes: dict[str, int]) -> tuple[contract.SubKey, ...]:
  parts, start = [], 0
  for name, size in sizes.items():
    parts.append(contract.SubKey(name=name, start=start, stop=start + size))
    start += size
  return tuple(parts)


def _actions(facts: checkpoint_facts.Facts) -> contract.Actions:
  spaces = facts.actions
  layout = _layout({k: space.elements for k, space in spaces.items()})
  size = layout[-1].stop
  discrete = [space.classes > 0 for space in spaces.values()]
  kind = "mixed"
  if len(set(discrete)) == 1:
    kind = "discrete_index" if discrete[0] else "continuous"
  low, high, mask = _bounds(spaces)
  return contract.Actions(
    dim=size,
    horizon=1,
    n_action_steps=1,
    kind=kind,  # type: ignore[arg-type]
    classes=max(space.classes for space in spaces.values()),
    low=low,
    high=high,
    sub_keys=layout,
    norm_mask=mask,
    delta_dims=contract.DeltaSpec(
      delta_mask=(False,) * size, absolute_dims_reason=_ABSOLUTE
    ),
    normalization=contract.NormSpec(mode="min_max", clip=(-1.0, 1.0))
    if any(mask)
    else None,
  )


def _bounds(
  spaces: dict[str, checkpoint_facts.Space],
) -> tuple[
  tuple[float, ...] | None, tuple[float, ...] | None, tuple[bool, ...]
]:
  """Returns the bounds, None unless all are known, and what is scaled."""
  low: list[float | None] = []
  high: list[float | None] = []
  mask: list[bool] = []
  for space in spaces.values():
    count = space.elements
    if space.classes:
      low += [0.0] * count
      high += [space.classes - 1.0] * count
      mask += [False] * count
      continue
    lowest = space.low or (None,) * count
    low += lowest
    high += space.high or (None,) * count
    # old files do not tell, and environments without bounds are rare
    mask += [space.low is None or bound is not None for bound in lowest]
  floors = tuple(x for x in low if x is not None)
  ceilings = tuple(x for x in high if x is not None)
  if len(floors) < len(low) or len(ceilings) < len(high):
    return None, None, tuple(mask)
  return floors, ceilings, tuple(mask)


def _recurrent(facts: checkpoint_facts.Facts) -> contract.Recurrent:
  rssm = facts.config.rssm
  carry = {
    "deter": contract.Array(shape=(rssm.deter,), dtype="float32"),
    "stoch": contract.Array(shape=(rssm.stoch, rssm.classes), dtype="float32"),
  }
  for name, space in facts.actions.items():
    carry[f"action/{name}"] = contract.Array(
      shape=space.shape, dtype=space.dtype
    )
  return contract.Recurrent(carry_spec=carry, reset_flag_key="is_first")


def _forward_graph(facts: checkpoint_facts.Facts) -> model.ForwardGraph:
  """Returns what the encoder takes and the actor gives."""
  inputs = {}
  if facts.vectors:
    width = sum(space.width for space in facts.vectors.values())
    inputs[VECTOR] = contract.Array(shape=(width,), dtype="float32")
  if facts.images:
    spaces = list(facts.images.values())
    channels = sum(space.shape[2] for space in spaces)
    shape = (*spaces[0].shape[:2], channels)
    inputs[IMAGES] = contract.Array(shape=shape, dtype="float32")
  outputs = {
    name: contract.Array(shape=space.shape, dtype=space.dtype)
    for name, space in facts.actions.items()
  }
  return model.ForwardGraph(inputs=inputs, outputs=outputs)
