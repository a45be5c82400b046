"""Reads the original's numbers in the terms of this package.

`DREAMER_FIXTURES` names the set (default: tests/fixtures/dreamer_official; its
README.md says what every array is). A set may hold only some parts: tests of
absent ones are skipped and say which.
"""

import functools
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from flax import nnx

from dreamer import agent as agent_lib
from dreamer import config as config_lib
from dreamer import spaces

DEFAULT = pathlib.Path(__file__).parents[1] / "fixtures/dreamer_official"
FIXTURES = pathlib.Path(os.environ.get("DREAMER_FIXTURES", DEFAULT))
MODULES = {
  "enc": "encoder",
  "dyn": "rssm",
  "dec": "decoder",
  "rew": "reward",
  "con": "continuation",
  "pol": "actor",
  "val": "critic",
}
NOT_OBSERVED = {"is_first", "is_last", "is_terminal", "reward"}
VALUE = 1e-5  # relative to the array's largest, as the page says
GRADIENT = 1e-4  # relative L2 of a tensor
MOVED = 0.05  # learning rates a parameter may be off after an update
FROM_RECORDED = 1e-2  # the same, where the gradients are the recorded ones

Arrays = dict[str, np.ndarray]
Tree = dict[str, Any]


def cases(pattern: str, name: str = "") -> list[Any]:
  """Returns the paths of a pattern, or one skipped case that names it."""
  found = sorted(FIXTURES.glob(pattern))
  names = [str(path.relative_to(FIXTURES)) for path in found]
  if names:
    return names
  reason = f"part '{name or pattern}' is absent from the fixture set"
  return [pytest.param("", marks=pytest.mark.skip(reason=reason), id=pattern)]


@functools.cache
def arrays(name: str) -> Arrays:
  """Returns a file of arrays; skips where the set does not have it."""
  path = FIXTURES / name
  if not path.exists():
    pytest.skip(f"'{name}' is absent from the fixture set")
  with np.load(path) as file:
    return dict(file)


@functools.cache
def written(name: str) -> Any:
  """Returns a JSON file; skips where the set does not have it."""
  path = FIXTURES / name
  if not path.exists():
    pytest.skip(f"'{name}' is absent from the fixture set")
  return json.loads(path.read_text())


def below(source: Arrays, prefix: str) -> Arrays:
  """Returns the arrays whose names begin with `prefix`, without it."""
  size = len(prefix)
  return {k[size:]: v for k, v in source.items() if k.startswith(prefix)}


def nested(source: Arrays) -> Tree:
  """Returns arrays named by paths as a tree."""
  tree: Tree = {}
  for name, value in source.items():
    *path, last = name.split("/")
    node = tree
    for part in path:
      node = node.setdefault(part, {})
    node[last] = jnp.asarray(value)
  return tree


def params(source: Arrays, prefix: str = "") -> Tree:
  """Returns parameters of the original under our modules' names."""
  tree = nested(below(source, prefix))
  return {MODULES.get(name, name): value for name, value in tree.items()}


def flat(tree: Tree) -> dict[str, Any]:
  """Returns a tree of ours under the original's names."""
  theirs = {ours: name for name, ours in MODULES.items()}
  found = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    first, *rest = jax.tree_util.keystr(path, simple=True, separator="/").split(
      "/"
    )
    found["/".join([theirs.get(first, first), *rest])] = leaf
  return found


def same_names(ours: Tree, theirs: Arrays) -> None:
  shapes = {name: tuple(leaf.shape) for name, leaf in flat(ours).items()}
  assert shapes == {name: tuple(x.shape) for name, x in theirs.items()}


def graph_of(make: Callable[[], nnx.Module], values: Tree) -> nnx.GraphDef:
  """Returns a module's graph; its parameters must be named like `values`."""
  graph, state = nnx.split(nnx.eval_shape(make))
  ours = {k: tuple(x.shape) for k, x in flat(nnx.to_pure_dict(state)).items()}
  assert ours == {k: tuple(x.shape) for k, x in flat(values).items()}
  return graph


def close(
  ours: Any, theirs: Any, *, rtol: float = VALUE, name: str = ""
) -> None:
  """Compares relative to the array's largest value."""
  ours, theirs = np.asarray(ours), np.asarray(theirs)
  assert ours.shape == theirs.shape, name
  limit = rtol * np.abs(theirs).max(initial=0)
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=limit, err_msg=name)


def same_values(ours: Tree, theirs: Arrays, rtol: float = VALUE) -> None:
  assert set(ours) == set(theirs)
  for name, value in theirs.items():
    close(ours[name], value, rtol=rtol, name=name)


def close_gradient(ours: Any, theirs: Any, name: str = "") -> None:
  ours, theirs = np.asarray(ours), np.asarray(theirs)
  assert ours.shape == theirs.shape, name
  error = np.linalg.norm((ours - theirs).reshape(-1))
  assert error <= GRADIENT * np.linalg.norm(theirs.reshape(-1)), name


def same_gradients(ours: Tree, theirs: Arrays) -> None:
  """Compares a tree of ours with gradients by the original's names."""
  found = flat(ours)
  assert set(found) == set(theirs)
  for name, value in theirs.items():
    close_gradient(found[name], value, name)


def equal(ours: Any, theirs: Any) -> None:
  np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def space(entry: Tree) -> spaces.Space:
  """Returns a space of config.json as ours."""
  shape = tuple(entry["shape"])
  if entry["dtype"] == "uint8" and len(shape) == 3:
    return spaces.Space(shape, is_image=True)
  if not entry["discrete"]:
    return spaces.Space(shape)
  return spaces.Space(shape, int(np.max(entry["classes"])))


def spaces_of(entries: Tree) -> dict[str, spaces.Space]:
  return {k: space(v) for k, v in entries.items() if k not in NOT_OBSERVED}


def config_of(options: Tree) -> ml_collections.ConfigDict:
  """Returns the default configuration with the original's agent options."""
  config = config_lib.default_config()
  behavior = {**options["imag_loss"]}
  normal = options["retnorm"]
  range_of = {"low": normal["perclo"], "high": normal["perchi"]}
  sections = {
    "rssm": options["dyn"]["rssm"],
    "encoder": options["enc"]["simple"],
    "decoder": options["dec"]["simple"],
    "reward": options["rewhead"],
    "continuation": options["conhead"],
    "actor": options["policy"],
    "critic": options["value"],
    "slow_critic": options["slowvalue"],
    "return_norm": normal | range_of,
    "behavior": behavior,
    "loss_scales": options["loss_scales"],
    "optimizer": options["opt"],
  }
  for name, section in sections.items():
    fill(config[name], section)
  fill(config, {k: v for k, v in options.items() if k not in sections})
  return config


def fill(config: ml_collections.ConfigDict, options: Tree) -> None:
  """Sets what `config` knows of `options`."""
  for name, value in options.items():
    if name in config and not isinstance(value, dict):
      now = config[name]
      config[name] = (
        type(now)(value) if isinstance(now, tuple | float) else value
      )


def agent_shapes(
  config: ml_collections.ConfigDict,
  observations: spaces.Spaces,
  actions: spaces.Spaces,
) -> tuple[nnx.GraphDef, Tree]:
  """Returns an agent's graph and the shapes of its parameters."""

  def make() -> agent_lib.Agent:
    return agent_lib.Agent(config, observations, actions, nnx.Rngs(0))

  graph, state = nnx.split(nnx.eval_shape(make))
  return graph, nnx.to_pure_dict(state)
