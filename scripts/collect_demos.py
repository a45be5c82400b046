"""Collects scripted demonstrations; the same command again goes on.

scripts/collect_demos.py --task=aloha/transfer_cube --episodes=50 \
  --directory=data/transfer_cube
"""

from collections.abc import Sequence

from absl import flags

from act import demonstrations
from carnet import cli

_TASK = flags.DEFINE_string("task", "aloha/transfer_cube", "What to show.")
_EPISODES = flags.DEFINE_integer("episodes", 50, "Successful ones to keep.")
_DIRECTORY = flags.DEFINE_string(
  "directory", None, "Where the data goes.", required=True
)
_CAMERAS = flags.DEFINE_list("cameras", ["top"], "Cameras, with commas.")
_HEIGHT = flags.DEFINE_integer("height", 480, "Pixels.")
_WIDTH = flags.DEFINE_integer("width", 640, "Pixels.")
_RENDERER = flags.DEFINE_string(
  "renderer", "gl", "gl, or raycast, which needs no GL; never mix their images."
)
_SHADOWS = flags.DEFINE_bool("shadows", False, "Render shadows; 2-6x slower.")
_MSAA_SAMPLES = flags.DEFINE_integer("msaa_samples", 0, "Samples per pixel.")
_MAX_STEPS = flags.DEFINE_integer("max_steps", 400, "Steps of an episode.")
_FIRST_SEED = flags.DEFINE_integer(
  "first_seed", 1000, "Seeds count from here; evaluation uses those below."
)
_WORKERS = flags.DEFINE_integer(
  "workers", 0, "Processes; 0 is one per core.", 0
)


def main(argv: Sequence[str]) -> None:
  """Hands the flags to `act.demonstrations.collect`."""
  del argv
  settings = demonstrations.Settings(
    task=_TASK.value,
    episodes=_EPISODES.value,
    first_seed=_FIRST_SEED.value,
    cameras=tuple(_CAMERAS.value),
    height=_HEIGHT.value,
    width=_WIDTH.value,
    renderer=_RENDERER.value,
    shadows=_SHADOWS.value,
    msaa_samples=_MSAA_SAMPLES.value,
    max_steps=_MAX_STEPS.value,
  )
  path = demonstrations.collect(settings, _DIRECTORY.value, _WORKERS.value)
  print(f"{settings.episodes} demonstrations in {path}")


if __name__ == "__main__":
  cli.run(main)
