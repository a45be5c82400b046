"""The replay of a run and the updates on it, where the memory is.

Two interchangeable kinds for the training loop: sequences gathered on the host
and sent to the device, or rings in the device's memory that compiled updates
sample from, so that nothing crosses the bus but new steps. Axes: N
environments, K updates, B batch, T time.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from ml_collections import config_dict

from carnet import errors, mesh
from carnet.checkpoint import chunks
from dreamer import device_buffer, learner, policy, updates
from dreamer import replay as replay_lib

Tree = dict[str, Any]
MEMORIES = ("host", "device")


@runtime_checkable
class Experience(Protocol):
  """What the training loop needs."""

  def add(self, step: Tree) -> None:
    """Records one step of each environment, arrays [N, ...]."""

  @property
  def steps(self) -> int:
    """How many steps are stored."""

  def sequences(self) -> int:
    """Returns how many sequences can be sampled."""

  def learn(
    self, state: learner.TrainState, count: int
  ) -> tuple[learner.TrainState, list[Tree]]:
    """Starts `count` updates; returns the state after them, and metrics [K].

    The state that was given is used up.
    """

  def settle(self) -> None:
    """Takes in what the updates found out; before the next `add`."""

  def look(self) -> Tree | None:
    """Returns sequences [B, C + T, ...] to look at; None if none is as long."""

  def state(self) -> chunks.Chunked:
    """Returns everything that is needed to go on."""

  def load_state(self, state: chunks.Chunked) -> None:
    """Goes on from a state."""


def make(
  config: config_dict.ConfigDict,
  spec: learner.Spec,
  graph: Any,
  devices: jax.sharding.Mesh,
  layout: Any,
) -> Experience:
  """Returns what `config.replay.memory` asks for.

  Args:
    config: the whole configuration.
    spec: observation and action spaces.
    graph: of `learner.make_agent`.
    devices: over which batches are split.
    layout: shardings of the train state.
  """
  if config.replay.memory == "host":
    return HostExperience(config, spec, graph, devices, layout)
  if config.replay.memory == "device":
    if devices.size > 1:
      raise errors.UserError(
        "config.replay.memory='device' is the memory of one device, and there "
        f"are {devices.size}: set config.devices=1, or replay.memory='host'"
      )
    return DeviceExperience(config, spec, graph, devices, layout)
  raise errors.unknown("config.replay.memory", config.replay.memory, MEMORIES)


class HostExperience:
  """Numpy arrays; a batch is gathered, sent, and its latents come back."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    spec: learner.Spec,
    graph: Any,
    devices: jax.sharding.Mesh,
    layout: Any,
  ) -> None:
    options, self._config = config.replay, config
    self.replay = replay_lib.Replay(
      config.batch_length + config.replay_context,
      options.capacity,
      options.chunk_size,
      options.online,
      {"uniform": options.uniform, "recency": options.recency},
      seed=config.seed,
    )
    over_batch = mesh.batch_sharding(devices, config.batch_size)
    self._sharding = jax.sharding.NamedSharding(
      devices, jax.P(None, *over_batch.spec)
    )
    self._update = jax.jit(
      functools.partial(updates.on_batches, config, spec, graph),
      out_shardings=(layout, None, None),
      donate_argnums=0,
    )
    self._most = most_at_once(config, spec)
    self._found: list[tuple[np.ndarray, Tree]] = []  # ids and latents

  def add(self, step: Tree) -> None:
    """Records one step of each environment."""
    names, columns = list(step), [np.asarray(x) for x in step.values()]
    for stream, values in enumerate(zip(*columns, strict=True)):
      self.replay.add(stream, dict(zip(names, values, strict=True)))

  @property
  def steps(self) -> int:
    """How many steps are stored."""
    return self.replay.steps

  def sequences(self) -> int:
    """Returns how many sequences can be sampled."""
    return len(self.replay)

  def learn(
    self, state: learner.TrainState, count: int
  ) -> tuple[learner.TrainState, list[Tree]]:
    """Starts `count` updates; see `Experience`.

    All their batches are drawn before the first begins, so a sequence that is
    drawn twice starts from the same latent twice.
    """
    metrics = []
    for k in dispatches(count, self._most):
      drawn = [self.replay.sample(self._config.batch_size) for _ in range(k)]
      found = {name: np.stack([x[name] for x in drawn]) for name in drawn[0]}
      ids = found.pop("stepid")[:, :, self._config.replay_context :]
      found = jax.device_put(found, self._sharding)
      state, values, latents = self._update(state, found)
      metrics.append(values)
      self._found.append((ids, latents))
    return state, metrics

  def settle(self) -> None:
    """Writes the latents of the updates back."""
    for ids, latents in self._found:
      for one, deter, stoch in zip(
        ids,
        np.asarray(latents["deter"]),
        np.asarray(latents["stoch"]),
        strict=True,
      ):
        self.replay.update_latents(one, deter, stoch)
    self._found.clear()

  def look(self) -> Tree | None:
    """Returns sequences to look at; sampling goes on as if it had not been."""
    if not len(self.replay):
      return None
    rng = np.random.default_rng(self._config.seed)
    found = self.replay.sample(self._config.batch_size, train=False, rng=rng)
    return {k: x for k, x in found.items() if k != "stepid"}

  def state(self) -> chunks.Chunked:
    """Returns the replay's state."""
    return self.replay.state()

  def load_state(self, state: chunks.Chunked) -> None:
    """Hands the state to the replay."""
    self.replay.load_state(state)


class DeviceExperience:
  """Rings on the device; one device, uniform sampling."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    spec: learner.Spec,
    graph: Any,
    devices: jax.sharding.Mesh,
    layout: Any,
  ) -> None:
    self._config, self._most = config, most_at_once(config, spec)
    loop = config.loop
    self._buffer = device_buffer.DeviceBuffer(
      config.replay.capacity // loop.environments,
      config.replay.chunk_size,
      policy.example(config, spec, loop.environments),
      jax.sharding.NamedSharding(devices, jax.P()),
    )
    self._length = config.batch_length + config.replay_context
    self._update: Callable[..., Any] = jax.jit(
      functools.partial(updates.on_replay, config, spec, graph),
      static_argnums=2,
      donate_argnums=(0, 1),
      out_shardings=(layout, None, None),
    )

  def add(self, step: Tree) -> None:
    """Records one step of each environment."""
    self._buffer.add(step)

  @property
  def steps(self) -> int:
    """How many steps are stored."""
    return self._buffer.steps * self._config.loop.environments

  def sequences(self) -> int:
    """Returns how many sequences can be sampled."""
    starts = self._buffer.steps - self._length + 1
    return max(0, starts) * self._config.loop.environments

  def learn(
    self, state: learner.TrainState, count: int
  ) -> tuple[learner.TrainState, list[Tree]]:
    """Starts `count` updates; see `Experience`."""
    metrics = []
    for k in dispatches(count, self._most):
      state, self._buffer.replay, values = self._update(
        state, self._buffer.replay, k
      )
      metrics.append(values)
    return state, metrics

  def settle(self) -> None:
    """Nothing: the latents never left the device."""

  def look(self) -> Tree | None:
    """Returns sequences to look at."""
    config = self._config
    return self._buffer.look(config.batch_size, self._length, config.seed)

  def state(self) -> chunks.Chunked:
    """Returns the rings as chunks."""
    return self._buffer.state()

  def load_state(self, state: chunks.Chunked) -> None:
    """Puts the rings back on the device."""
    self._buffer.load_state(state)


def most_at_once(config: config_dict.ConfigDict, spec: learner.Spec) -> int:
  """Returns how many updates to compile into one program."""
  one = updates.loops_are_slow(spec)  # and unrolled ones take long to compile
  return 1 if one else config.loop.updates_per_dispatch


def dispatches(count: int, most: int) -> Iterator[int]:
  """Yields how many updates go together: `most` at a time, the rest singly."""
  for _ in range(count // most):
    yield most
  for _ in range(count % most):
    yield 1
