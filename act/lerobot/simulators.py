"""LeRobot's environments as ours."""

from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from act import features as features_lib
from carnet import errors

# LeRobot's name of a task -> ours
_TASKS = {
  "AlohaTransferCube-v0": "aloha/transfer_cube",
  "AlohaInsertion-v0": "aloha/insertion",
}
ALOHA_STATE = "qpos"
_ALOHA_HZ = 50.0


class Simulator:
  """Where the policy is evaluated, if anywhere.

  Attributes:
    name: of ours, "" is none.
    state: what it calls the joints, "" where that is not known.
    control_hz: commands a second, None where that is not known.
    notes: what a person should know, a line each.
  """

  def __init__(
    self, spec: features_lib.Features, trained: Mapping[str, Any], asked: str
  ) -> None:
    """`asked` is the user's choice, "" that of train_config.json.

    Raises:
      UserError: the user's choice cannot show what the policy sees.
    """
    self.notes: list[str] = []
    self.name, self._max_steps, self._spec = asked, 0, spec
    if not asked:
      self._take(trained)
    elif asked.startswith("aloha/") and asked not in _TASKS.values():
      raise errors.unknown("environment", asked, _TASKS.values())
    if self.name and len({shape for _, shape in self._spec.images}) > 1:
      raise errors.UserError(
        f"the cameras differ in size, which {self.name} cannot show: import "
        "without a simulator"
      )
    is_aloha = self.name.startswith("aloha/")
    self.state = ALOHA_STATE if is_aloha else ""
    self.control_hz = _ALOHA_HZ if is_aloha else None

  def _take(self, trained: Mapping[str, Any]) -> None:
    """Finds ours for the environment of train_config.json."""
    env = trained.get("env")
    if not isinstance(env, Mapping):
      return
    task = str(env.get("task"))
    if env.get("type") != "aloha" or task not in _TASKS:
      kind = f"{str(env.get('type'))[:40]} {task[:40]}"
      self.notes.append(f"no simulator of ours is '{kind}': --environment")
      return
    sizes = {shape for _, shape in self._spec.images}
    if self._spec.cameras != ("top",) or len(sizes) != 1:
      self.notes.append(f"{_TASKS[task]} has no such cameras: no simulator")
      return
    self.name = _TASKS[task]
    steps = env.get("episode_length")
    self._max_steps = steps if type(steps) is int and steps > 0 else 0

  def configure(self, config: config_dict.ConfigDict) -> None:
    """Sets `config.environment`, in gym-aloha's pictures."""
    config.environment.name = self.name
    config.environment.cameras = self._spec.cameras
    if self._spec.images:
      (height, width, _) = self._spec.images[0][1]
      config.environment.update(height=height, width=width)
    if self._max_steps:
      config.environment.max_steps = self._max_steps
    if self.state:  # as MuJoCo renders the scene by itself
      config.environment.update(shadows=True, msaa_samples=4)
    if not self.name:
      config.evaluation.every_steps = 0
