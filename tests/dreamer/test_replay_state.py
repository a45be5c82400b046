"""A replay buffer saved and restored, and what a save costs."""

import json

import numpy as np
import pytest
import tiny_replay

from carnet import checkpoint, errors
from carnet.checkpoint import chunks
from dreamer import replay


@pytest.mark.parametrize("latents", [True, False])
@pytest.mark.parametrize("counts", [[3], [8, 8], [50, 21, 6]])
def test_a_killed_run_samples_on_as_if_nothing_had_been(
  tmp_path, counts, latents
):
  settings = {
    "online": True,
    "fractions": tiny_replay.all_fractions(),
    "seed": 5,
  }
  buffer = tiny_replay.filled(counts, latents=latents, **settings)
  if len(buffer):
    ids = buffer.sample(4)["stepid"]
    buffer.prioritize(ids[:, 0], np.arange(4.0))
  with checkpoint.Checkpoint(tmp_path) as saved:
    saved.register("replay", buffer)
    saved.save(1)
  resumed = tiny_replay.buffer_of(**{**settings, "seed": 99})
  with checkpoint.Checkpoint(tmp_path) as saved:
    saved.register("replay", resumed)
    assert saved.load_or_save() == 1
  for position in range(counts[0], counts[0] + 40):
    for each in (buffer, resumed):
      each.add(0, tiny_replay.step_of(0, position, latents=latents))
    if position > counts[0] + tiny_replay.LENGTH:
      first, second = buffer.sample(3), resumed.sample(3)
      tiny_replay.assert_equal(first, second)
      if latents:
        for each in (buffer, resumed):
          values = np.full((3, tiny_replay.LENGTH, 3), position % 100)
          stoch = np.full((3, tiny_replay.LENGTH, 2, 2), position % 100)
          each.update_latents(first["stepid"], values, stoch)
  assert buffer.counts == resumed.counts


def test_a_save_writes_what_is_new(tmp_path):
  buffer = tiny_replay.filled([33], latents=True)  # 4 full blocks and one begun

  def files():
    return {path.name for path in tmp_path.glob("chunks/*/*.safetensors")}

  with checkpoint.Checkpoint(tmp_path) as saved:
    saved.register("replay", buffer)
    saved.save(1)
    saved.wait()
    before = files()
    assert len(before) == 10
    saved.save(2)
    saved.wait()
    assert files() == before
    ids = np.arange(tiny_replay.LENGTH)[None]  # within the first block
    values = (
      np.full((1, tiny_replay.LENGTH, 3), 9),
      np.full((1, tiny_replay.LENGTH, 2, 2), 9),
    )
    buffer.update_latents(ids, *values)
    saved.save(3)
    saved.wait()
    assert len(files()) == 11
    buffer.add(0, tiny_replay.step_of(0, 33))
    saved.save(4)
    saved.wait()
    assert len(files()) == 13


def test_the_interface_is_kept():
  assert isinstance(tiny_replay.buffer_of(), replay.Buffer)


def test_a_full_block_is_not_copied_for_a_save():
  buffer = tiny_replay.filled([17])
  first, second = buffer.state(), buffer.state()
  assert [a is b for a, b in zip(first.chunks, second.chunks, strict=True)] == [
    True
  ] * 6
  buffer.add(0, tiny_replay.step_of(0, 17))
  third = buffer.state()
  same = [a is b for a, b in zip(first.chunks, third.chunks, strict=True)]
  assert same == [True] * 4 + [False] * 2
  assert json.loads(json.dumps(third.facts)) == third.facts
  assert not third.chunks[0].arrays["image"].flags.writeable


def _without(facts, key):
  return {name: value for name, value in facts.items() if name != key}


@pytest.mark.parametrize(
  "damage",
  [
    lambda s: chunks.Chunked(s.chunks[:-1], s.facts),
    lambda s: chunks.Chunked(s.chunks[::-1], s.facts),
    lambda s: chunks.Chunked(s.chunks, _without(s.facts, "order")),
    lambda s: chunks.Chunked(s.chunks, {**s.facts, "order": [0]}),
    lambda s: chunks.Chunked(s.chunks, {**s.facts, "streams": []}),
    lambda s: chunks.Chunked(s.chunks, {**s.facts, "chunk_size": 1024}),
    lambda s: chunks.Chunked(s.chunks, {**s.facts, "queue": [[7, 0]]}),
    lambda s: chunks.Chunked(s.chunks, {**s.facts, "random": "1"}),
    lambda s: chunks.Chunked(s.chunks, {"steps": 3}),
    lambda s: chunks.Chunked((), None),
  ],
)
def test_a_state_of_something_else_is_refused_and_changes_nothing(damage):
  state = tiny_replay.filled([20, 5]).state()
  buffer = tiny_replay.filled([9])
  with pytest.raises(errors.UserError):
    buffer.load_state(damage(state))
  assert buffer.steps == 9
  buffer.sample(1)


def test_a_smaller_capacity_takes_effect_when_loading():
  buffer = tiny_replay.filled([60])
  smaller = tiny_replay.buffer_of(capacity=24)
  smaller.load_state(buffer.state())
  assert smaller.steps == 20
  assert smaller.sample(50)["place"][:, :, 1].min() == 40
