"""DreamerV3 under examination: what its passport is measured with.

Source of the frames: the first steps of an episode of its environment, under
the first seed of evaluation, acted by the policy itself.
"""

import functools
import pathlib
import re
from typing import Any

import jax
import numpy as np
from ml_collections import config_dict

from carnet import checkpoint as checkpoint_lib
from carnet import config as config_lib
from carnet import evaluation as evaluation_lib
from carnet import rollout, trees
from carnet.envs import base
from carnet.passport import steps
from carnet.passport.dynamic import subject as subject_lib
from dreamer import config as dreamer_config
from dreamer import environment, evaluation, learner
from dreamer import spaces as spaces_lib

_NEEDED = "agent/params/.*"
_DEVIATIONS = 6.0


def examine(
  directory: pathlib.Path,
  pipeline: tuple[steps.TransformStep, ...],
  dataset_path: pathlib.Path | None,
) -> subject_lib.Subject:
  """Returns the policy of a step directory, ready to be questioned.

  Args:
    directory: a step directory of ours.
    pipeline: of the passport; preprocessing is built from it.
    dataset_path: ignored; episodes come from the environment.

  Raises:
    UserError: the checkpoint is unsound, or its environment is another.
  """
  del dataset_path
  config = config_lib.from_json(
    checkpoint_lib.read_json(directory, "config.json"),
    dreamer_config.default_config(),
  )
  spec = environment.from_json(
    checkpoint_lib.read_json(directory, "spaces.json")
  )
  loaded = evaluation.load(directory, pipeline=pipeline)
  stored = checkpoint_lib.read(directory, regex=_NEEDED)
  state = jax.eval_shape(lambda: learner.init_state(config, spec)[1])
  leaves = trees.flatten(state, "agent")
  seed = config.evaluation.first_seed
  return subject_lib.Subject(
    policy=loaded.policy,
    entry_point="dreamer.policy:Policy.act",
    expected=subject_lib.shapes(
      {path: x for path, x in leaves.items() if re.fullmatch(_NEEDED, path)}
    ),
    params=trees.flatten(stored),
    frames=functools.partial(_frames, loaded, seed),
    calibrate=functools.partial(_calibrate, spec),
    bounds=_bounds(config, spec.actions),
    action_statistics=None,
    recurrent=True,
  )


def _frames(
  loaded: evaluation_lib.Loaded, seed: int, count: int
) -> subject_lib.Frames:
  """Plays the beginning of an episode."""
  env = loaded.make_env()
  try:
    step = env.reset(seed)
    carry, found = loaded.policy.init(1), []
    key = jax.random.key(seed)
    while step.observation is not None:
      found.append(step.observation)
      if len(found) == count or step.is_last:
        break
      batch = {k: np.asarray(x)[None] for k, x in step.observation.items()}
      key, now = jax.random.split(key)
      carry, action = loaded.policy.act(carry, batch, now)
      step = env.step(rollout.per_episode(action, 1)[0])
  finally:
    env.close()
  source = f"{loaded.facts['task']}, seed {seed}"
  return subject_lib.Frames(source, 0, tuple(found))


def _calibrate(
  spec: learner.Spec, generator: np.random.Generator, count: int
) -> base.Observation:
  """Returns noise: pictures and classes uniform, numbers normal."""
  made: dict[str, Any] = {}
  for name, space in spec.observations.items():
    shape = (count, *space.shape)
    if space.is_image:
      made[name] = generator.integers(0, 256, shape, dtype=np.uint8)
    elif space.classes:
      made[name] = generator.integers(0, space.classes, shape, dtype=np.int32)
    else:
      made[name] = generator.normal(size=shape).astype(np.float32)
  return made


def _bounds(
  config: config_dict.ConfigDict, actions: spaces_lib.Spaces
) -> subject_lib.Bounds:
  """Returns what the policy may give: classes, or a mean within -1 and 1.

  Samples of a normal distribution lie about it, and the environment clips
  them: beyond six deviations they are another distribution's.
  """
  sampled = config.evaluation.actions == "sample"
  margin = _DEVIATIONS * config.actor.maxstd if sampled else 0.0
  low, high = [], []
  for name in sorted(actions):
    space = actions[name]
    size = int(np.prod(space.shape))
    low += [0.0 if space.classes else -1.0 - margin] * size
    high += [space.classes - 1.0 if space.classes else 1.0 + margin] * size
  return subject_lib.Bounds("action_space", np.array(low), np.array(high))
