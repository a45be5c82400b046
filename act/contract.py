"""What the files of an ACT checkpoint tell of its policy, without JAX."""

import pathlib
import re

import pydantic

from act import checkpoint_facts, transforms
from carnet import errors
from carnet.passport import context, contract, family, model, schema

_ABSOLUTE = (
  "Actions are joint targets in the units of the data, as the demonstrations "
  "have them; none is relative to the present state."
)
# torchvision's files carry the beginning of their sha256
_REVISION = re.compile(r"-([0-9a-f]{8})\.(?:pth|pt|safetensors)$")


def describe(directory: pathlib.Path) -> family.Description:
  """Returns what the files of a step directory tell.

  Raises:
    UserError: one is absent or unsound, or they contradict each other.
  """
  facts = checkpoint_facts.Facts(context.Context(directory))
  try:
    return _Describer(facts).description()
  except pydantic.ValidationError as error:
    raise errors.UserError(f"{directory}: {schema.faults(error)}") from error


class _Describer:
  """Writes down what follows from the facts of a checkpoint."""

  def __init__(self, facts: checkpoint_facts.Facts) -> None:
    self._facts = facts
    self._config, self._features = facts.config, facts.features

  def description(self) -> family.Description:
    """Returns everything."""
    backbone = self._config.optimizer.backbone_learning_rate
    return family.Description(
      name="act",
      input_contract=self._input_contract(),
      transform_pipeline=transforms.of(self._facts),
      inference_parameters=self._inference_parameters(),
      forward_graph=self._forward_graph(),
      class_name="ACT",
      class_module="act.model",
      pretrained=self._pretrained(),
      roles={
        "config.json": "config",
        "features.json": "config",
        checkpoint_facts.STATISTICS: "norm_stats",
        "dataset.json": "metadata",
      },
      needed=r"agent/(params|buffers)/.*",
      # buffers are the frozen norms' statistics
      trainable=r"agent/params/.*"
      if backbone
      else r"agent/params/(?!backbone/).*",
    )

  def _input_contract(self) -> contract.InputContract:
    chosen = self._config.normalization
    images = tuple(
      contract.Image(
        key=f"images/{camera}",
        short_key=camera,
        shape=shape,
        resize=None,
        color="RGB" if shape[2] == 3 else "OTHER",
        layout="HWC",
        dtype="uint8",
        value_range=(0.0, 255.0),
        normalization=self._facts.norm(chosen.images, f"images/{camera}"),
      )
      for camera, shape in self._features.images
    )
    return contract.InputContract(
      images=images,
      state=self._state_contract(),
      actions=self._actions_contract(),
      language=None,
      temporal=contract.Temporal(
        n_obs_steps=1,
        observation_delta_indices=(0,),
        control_hz=self._facts.control_hz,
        action_repeat=1,
      ),
      recurrent=None,
    )

  def _state_contract(self) -> contract.State:
    parts, start = [], 0
    for key, (_, size) in self._facts.vectors().items():
      parts.append(contract.SubKey(name=key, start=start, stop=start + size))
      start += size
    mode = self._config.normalization.state
    return contract.State(
      dim=start,
      sub_keys=tuple(parts),
      normalization=self._facts.norm(mode, "state") if parts else None,
    )

  def _actions_contract(self) -> contract.Actions:
    chosen, size = self._config.model, self._features.action_size
    mode = self._config.normalization.action
    executed = 1 if chosen.temporal_ensemble else chosen.n_action_steps
    return contract.Actions(
      dim=size,
      horizon=chosen.chunk_size,
      n_action_steps=executed,
      kind="continuous",
      sub_keys=(contract.SubKey(name="action", start=0, stop=size),),
      norm_mask=(mode != "identity",) * size,
      delta_dims=contract.DeltaSpec(
        delta_mask=(False,) * size, absolute_dims_reason=_ABSOLUTE
      ),
      normalization=self._facts.norm(mode, "action"),
    )

  def _inference_parameters(self) -> dict[str, pydantic.JsonValue]:
    chosen = self._config.model
    ensembles = chosen.temporal_ensemble
    return {
      "chunk_size": chosen.chunk_size,
      "n_action_steps": 1 if ensembles else chosen.n_action_steps,
      "temporal_ensemble_coefficient": chosen.temporal_ensemble_coefficient
      if ensembles
      else None,
      "latent": "zeros",
    }

  def _forward_graph(self) -> model.ForwardGraph:
    inputs = {
      f"images/{camera}": contract.Array(shape=shape, dtype="float32")
      for camera, shape in self._features.images
    }
    for name, size in self._facts.vectors().values():
      inputs[name] = contract.Array(shape=(size,), dtype="float32")
    shape = (self._config.model.chunk_size, self._features.action_size)
    return model.ForwardGraph(
      inputs=inputs,
      outputs={"actions": contract.Array(shape=shape, dtype="float32")},
    )

  def _pretrained(self) -> tuple[model.Pretrained, ...]:
    path = self._config.model.backbone_weights
    if not path or not self._features.images:
      return ()
    name = pathlib.PurePosixPath(path).name or path
    revision = _REVISION.search(name)
    return (
      model.Pretrained(
        submodule="backbone",
        source_identifier=name[-512:],
        source_revision=revision.group(1) if revision else None,
      ),
    )
