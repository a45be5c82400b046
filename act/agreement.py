"""What the data and the run directory must agree with before training."""

import pathlib

from ml_collections import config_dict

from act import dataset
from carnet import errors, workdir

# Keys that may differ between a run and its resumption: none of them changes
# the parameters that the run ends with.
# (Devices may: sums over other parts of a batch round otherwise.)
_FREE = ("checkpoint.", "evaluation.", "log_every_steps", "devices", "fsdp")
_RENDER_SETTINGS = ("height", "width", "renderer", "shadows", "msaa_samples")


def check_environment(
  config: config_dict.ConfigDict, data: dataset.Dataset
) -> None:
  """Refuses to evaluate another task, or in other pictures, than the data's.

  Raises:
    UserError: the task, a render setting or a camera of `config.environment`
      is not the one that the demonstrations were made with.
  """
  task = data.metadata["task"]
  if config.environment.name != task:
    raise errors.UserError(
      f"config.environment.name is '{config.environment.name}', but the "
      f"demonstrations in {data.path} are of '{task}'"
    )
  recorded = data.metadata["settings"]
  for name in _RENDER_SETTINGS:
    asked = config.environment[name]
    if asked != recorded[name]:
      raise errors.UserError(
        f"config.environment.{name} is {asked!r}, but the demonstrations in "
        f"{data.path} were rendered with {recorded[name]!r}: set "
        f"--config.environment.{name}={recorded[name]} or collect others"
      )
  for camera in config.dataset.cameras:
    if camera not in config.environment.cameras:
      raise errors.unknown(
        "camera in config.dataset.cameras, config.environment.cameras lacks",
        camera,
        config.environment.cameras,
      )


def check_same_run(config: config_dict.ConfigDict, path: pathlib.Path) -> None:
  """Refuses to resume the run in `path` with another configuration.

  Raises:
    UserError: keys that matter differ; the message names them.
  """
  # without a schedule that ends, more steps are the same run, only longer
  constant = config.optimizer.schedule == "constant"
  free = (*_FREE, "total_steps") if constant else _FREE
  workdir.check_same_run(config, path, free)
