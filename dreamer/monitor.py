"""Evaluation episodes and open-loop predictions on a schedule."""

import functools
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import config_dict

from carnet import clock, evaluation, extras, rollout, video
from carnet import config as config_lib
from dreamer import environment, learner, open_loop, policy

Tree = dict[str, Any]
_LOG = logging.getLogger("carnet")
_FRAMES_PER_SECOND = 10
_HEIGHT = 240  # pixels, at least


class Monitor:
  """Measures the agent when its time has come."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    spec: learner.Spec,
    graph: Any,
    workdir: pathlib.Path,
    stride: int,
    stop: Callable[[], bool] = lambda: False,
  ) -> None:
    self._config, self._spec, self._stop = config, spec, stop
    how = config.evaluation.actions
    self._policy = policy.Policy(config, spec, graph, {}, how)
    images = any(space.is_image for space in spec.observations.values())
    if config.evaluation.video_every_steps and images:
      extras.load("av", "data")  # found missing now, not hours later
    self._directory = workdir / "videos"
    options = config.evaluation
    self._play_at = clock.Every(options.every_steps, stride=stride)
    self._film_at = clock.Every(options.video_every_steps, stride=stride)
    self._predict = jax.jit(
      functools.partial(
        open_loop.predict, config, spec, graph, observed=options.video_context
      )
    )

  def __call__(
    self, step: int, params: Tree, look: Callable[[], Tree | None]
  ) -> dict[str, float]:
    """Returns what is due at `step`, maybe nothing.

    evaluation/mean_return, standard_error, lowest_return and highest_return,
    or evaluation/failures where an environment failed, nothing on a signal;
    openloop/<key>, the errors of `open_loop.predict`, with a video of each
    image key in workdir/videos.

    Args:
      step: of the policy.
      params: of the agent.
      look: returns sequences of the replay, or None while there are none.
    """
    found: dict[str, float] = {}
    if self._play_at(step):
      found |= self._play(params)
    if self._film_at(step) and (sequences := look()) is not None:
      found |= self._film(step, params, sequences)
    return found

  def _play(self, params: Tree) -> dict[str, float]:
    config, options = self._config, self._config.evaluation
    self._policy.use(params)
    described = config_lib.to_json(config.environment)
    seeds = range(options.first_seed, options.first_seed + options.episodes)
    make = functools.partial(environment.make, described)
    limit = options.max_steps
    try:
      played = evaluation.run(
        self._policy, make, seeds, None, limit, self._stop
      )
    except rollout.EnvironmentFailed as error:
      _LOG.warning("no evaluation: %s", error)
      return {"evaluation/failures": 1.0}
    except rollout.Stopped:
      return {}
    summary = played.summary()
    names = ("mean_return", "standard_error", "lowest_return", "highest_return")
    return {f"evaluation/{name}": summary[name] for name in names}

  def _film(self, step: int, params: Tree, found: Tree) -> dict[str, float]:
    count = self._config.evaluation.video_sequences
    found = {name: x[:count] for name, x in found.items()}
    predicted, errors = self._predict(params, found)
    skipped = self._config.replay_context
    for name, space in self._spec.observations.items():
      if space.is_image:
        frames = open_loop.film(
          np.asarray(found[name])[:, skipped:],
          predicted[name],
          self._config.evaluation.video_context,
        )
        self._directory.mkdir(exist_ok=True)
        file = f"openloop_{name.replace('/', '_')}_{step:09d}.mp4"
        larger = video.enlarged(frames, _HEIGHT)
        video.write(self._directory / file, larger, _FRAMES_PER_SECOND)
    return {f"openloop/{name}": float(x) for name, x in errors.items()}
