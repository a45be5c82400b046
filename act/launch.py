"""What a run of ACT begins with: demonstrations, classes, weights."""

import pathlib
from collections.abc import Sequence

from ml_collections import config_dict

import act
from act import dataset, model
from carnet import jax_settings, launch, run_context
from carnet.checkpoint import digest

# what reads demonstrations, besides `launch.LIBRARIES`
_PACKAGES = (
  *("ml_collections", "grain", "array_record", "pillow", "safetensors"),
  *("pyarrow", "av", "h5py"),
  *("mujoco", "gym-aloha", "gymnasium"),
)


def capture(
  config: config_dict.ConfigDict,
  data: dataset.Dataset,
  training: Sequence[int],
  held_out: Sequence[int],
) -> run_context.Context:
  """Returns the facts of a run that begins now on these episodes of `data`."""
  return launch.capture(
    pathlib.Path(str(act.__file__)),
    [_dataset(config, data, training, held_out)],
    run_context.Model(
      class_name=model.ACT.__name__,
      class_module=model.__name__,
      config_module="act.config",
    ),
    _pretrained(config),
    _PACKAGES,
    jax_settings.describe(),
  )


def _dataset(
  config: config_dict.ConfigDict,
  data: dataset.Dataset,
  training: Sequence[int],
  held_out: Sequence[int],
) -> run_context.Dataset:
  return run_context.Dataset(
    id=data.identity,
    kind="dataset",
    revision=data.revision,
    env_versions=dict(data.metadata.get("versions", {})),
    loader_class=f"{dataset.__name__}.{dataset.Dataset.__name__}",
    split={
      "training_episodes": data.episodes[list(training)].tolist(),
      "validation_episodes": data.episodes[list(held_out)].tolist(),
      "validation_fraction": config.dataset.validation_fraction,
      "sampling": config.dataset.sampling,
      "seed": config.seed,
      "origin": data.origin,
      "features": [f"{ours}={name}" for ours, name in data.names.items()],
      "skipped_episodes": [f"{x.episode}: {x.reason}" for x in data.skipped],
    },
  )


def _pretrained(
  config: config_dict.ConfigDict,
) -> tuple[run_context.Pretrained, ...]:
  """Returns the backbone's file; a parent run is in the manifest's lineage."""
  if not config.model.backbone_weights:
    return ()
  path = pathlib.Path(config.model.backbone_weights).expanduser()
  return (
    run_context.Pretrained(
      submodule="backbone",
      source_identifier=f"{config.model.backbone}/{path.name}",
      source_revision=None,
      file_sha256=digest.file(path),
    ),
  )
