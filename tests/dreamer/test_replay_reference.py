"""The replay buffer against a list of steps, call by call."""

import json

import hypothesis
import ml_dtypes
import numpy as np
import tiny_replay
from hypothesis import strategies

from carnet.checkpoint import chunks


class Reference:
  """The same buffer as lists, whole steps in them, and nothing clever."""

  def __init__(self, capacity):
    self.capacity, self.streams, self.begins, self.full = capacity, {}, {}, []

  def add(self, stream, step):
    steps = self.streams.setdefault(stream, [])
    begin = self.begins.setdefault(stream, 0)
    steps.append(step)
    if len(steps) % tiny_replay.CHUNK == 0:
      self.full.append(stream)
    while self.steps() > self.capacity:
      self.begins[self.full.pop(0)] += tiny_replay.CHUNK
    assert begin <= len(steps)

  def steps(self):
    return sum(len(s) - self.begins[k] for k, s in self.streams.items())

  def items(self):
    return {
      (stream, start)
      for stream, steps in self.streams.items()
      for start in range(
        self.begins[stream], len(steps) - tiny_replay.LENGTH + 1
      )
    }


COMMANDS = strategies.lists(
  strategies.one_of(
    strategies.tuples(
      strategies.just("add"),
      strategies.integers(0, 2),
      strategies.integers(1, 20),
    ),
    strategies.tuples(strategies.just("sample"), strategies.integers(1, 4)),
    strategies.tuples(strategies.just("reload")),
  ),
  max_size=25,
)


def _compare(batch, reference):
  items = reference.items()
  for row, (stream, start) in enumerate(tiny_replay.starts_of(batch)):
    assert (stream, start) in items
    for offset in range(tiny_replay.LENGTH):
      step = reference.streams[stream][start + offset]
      for key in ("image", "place", "action", "reward", "deter", "stoch"):
        np.testing.assert_array_equal(batch[key][row, offset], step[key])


def _write_back(buffer, reference, batch, number):
  deter = np.full((len(batch["place"]), tiny_replay.LENGTH, 3), number % 100)
  stoch = np.full((len(batch["place"]), tiny_replay.LENGTH, 2, 2), number % 100)
  buffer.update_latents(batch["stepid"], deter, stoch)
  for stream, start in tiny_replay.starts_of(batch):
    for step in reference.streams[stream][start : start + tiny_replay.LENGTH]:
      step["deter"] = np.full(3, number % 100, ml_dtypes.bfloat16)
      step["stoch"] = np.full((2, 2), number % 100, np.uint8)


def _reloaded(buffer, settings):
  state = buffer.state()
  facts = json.loads(json.dumps(state.facts))
  again = tiny_replay.buffer_of(**settings)
  again.load_state(chunks.Chunked(state.chunks, facts))
  return again


@hypothesis.given(COMMANDS, strategies.booleans())
@hypothesis.settings(max_examples=60, deadline=None)
def test_any_sequence_of_calls_agrees_with_a_list(commands, online):
  settings = {
    "capacity": 40,
    "online": online,
    "fractions": tiny_replay.all_fractions(),
  }
  buffer, reference = tiny_replay.buffer_of(**settings), Reference(40)
  for number, (name, *arguments) in enumerate(commands):
    if name == "add":
      stream, count = arguments
      for _ in range(count):
        step = tiny_replay.step_of(
          stream, len(reference.streams.get(stream, ()))
        )
        buffer.add(stream, step)
        reference.add(stream, dict(step))
    elif name == "sample" and reference.items():
      batch = buffer.sample(*arguments)
      _compare(batch, reference)
      _write_back(buffer, reference, batch, number)
    elif name == "reload":
      buffer = _reloaded(buffer, settings)
    assert buffer.steps == reference.steps() <= 40
    assert len(buffer) == len(reference.items())
