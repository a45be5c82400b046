"""Modules, their random streams, and iterators, as they are registered."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from carnet import checkpoint as checkpoint_lib


def _bits(leaf):
  if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    leaf = jax.random.key_data(leaf)
  return leaf.dtype, leaf.shape, np.asarray(leaf).tobytes()


def _assert_same(left, right):
  assert jax.tree.structure(left) == jax.tree.structure(right)
  assert list(map(_bits, jax.tree.leaves(left))) == list(
    map(_bits, jax.tree.leaves(right))
  )


class Noisy(nnx.Module):
  """Has random keys of its own, and statistics."""

  def __init__(self, seed):
    rngs = nnx.Rngs(seed)
    self.linear = nnx.Linear(2, 3, rngs=rngs)
    self.norm = nnx.BatchNorm(3, rngs=rngs)
    self.dropout = nnx.Dropout(0.5, rngs=rngs)

  def __call__(self, x):
    return self.dropout(self.norm(self.linear(x)))


def test_random_streams_go_on_where_they_were(tmp_path):
  rngs, fresh = nnx.Rngs(0, dropout=1), nnx.Rngs(5, dropout=6)
  module, other = Noisy(0), Noisy(1)
  x = jnp.arange(8.0).reshape(4, 2)
  for _ in range(3):
    rngs.dropout(), rngs(), module(x)
  with checkpoint_lib.Checkpoint(tmp_path) as checkpoint:
    assert checkpoint.register("rngs", rngs) is rngs
    assert checkpoint.register("module", module) is module
    before = nnx.to_pure_dict(nnx.state(rngs))
    checkpoint.save(1)
    _assert_same(nnx.to_pure_dict(nnx.state(rngs)), before)  # nothing drawn
  checkpoint = checkpoint_lib.Checkpoint(tmp_path, verbose=False)
  checkpoint.register("rngs", fresh)
  checkpoint.register("module", other)
  checkpoint.load()
  for draw in (lambda r: r.dropout(), lambda r: r(), lambda r: r.params()):
    _assert_same(draw(fresh), draw(rngs))
  outputs = other(x), module(x)
  assert 0 < int((outputs[0] == 0).sum()) < outputs[0].size
  _assert_same(*outputs)
  _assert_same(nnx.state(other), nnx.state(module))


def test_a_module_with_its_own_methods_is_asked_for_its_state(tmp_path):
  class Own(nnx.Module):
    def state(self):
      return {"count": 3}

    def load_state(self, state):
      self.restored = state["count"]

  own = Own()
  with checkpoint_lib.Checkpoint(tmp_path, verbose=False) as checkpoint:
    checkpoint.register("own", own)
    checkpoint.save(1)
    checkpoint.wait()
    checkpoint.load()
  assert own.restored == 3


@pytest.mark.parametrize(
  "position",
  [{"text": "abc"}, {"next": 3}, b'{"next": 3}', b"\xff\x00", b"", "abc", [1]],
)
def test_an_iterator_gets_the_very_position_it_gave(tmp_path, position):
  class Data:
    position = None

    def get_state(self):
      return self.position

    def set_state(self, state):
      self.position = state

  saved, fresh = Data(), Data()
  saved.position = position
  with checkpoint_lib.Checkpoint(tmp_path) as checkpoint:
    assert checkpoint.register("data", saved) is saved
    checkpoint.save(1)
  checkpoint = checkpoint_lib.Checkpoint(tmp_path, verbose=False)
  checkpoint.register("data", fresh)
  checkpoint.load()
  assert fresh.position == position
  assert type(fresh.position) is type(position)


def test_an_optimizer_goes_on_bit_by_bit(tmp_path):
  def build(seed):
    module = Noisy(seed)
    return module, nnx.Optimizer(
      module, optax.sgd(0.1, momentum=0.9), wrt=nnx.Param
    )

  def train(module, optimizer):
    x = jnp.arange(8.0).reshape(4, 2)
    grads = nnx.grad(lambda m: (m(x) ** 2).mean())(module)
    optimizer.update(module, grads)

  saved, fresh = build(0), build(1)
  for _ in range(2):
    train(*saved)
  with checkpoint_lib.Checkpoint(tmp_path) as checkpoint:
    for name, part in zip(("module", "optimizer"), saved, strict=True):
      checkpoint.register(name, part)
    checkpoint.save(2)
  checkpoint = checkpoint_lib.Checkpoint(tmp_path, verbose=False)
  for name, part in zip(("module", "optimizer"), fresh, strict=True):
    checkpoint.register(name, part)
  checkpoint.load()
  for part in (saved, fresh):
    train(*part)
  for mine, other in zip(saved, fresh, strict=True):
    _assert_same(nnx.state(mine), nnx.state(other))
