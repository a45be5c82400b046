"""Any tree comes back as it was, and any part as its plan said."""

import collections
import dataclasses
import re
import tempfile

import hypothesis
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import strategies

from carnet import checkpoint as checkpoint_lib
from carnet import errors, trees
from carnet.checkpoint import plan

Point = collections.namedtuple("Point", ["x", "y"])


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class State:
  value: object
  more: object
  name: str = dataclasses.field(default="s", metadata={"static": True})


JAX_DTYPES = (
  *(bool, np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32),
  *(np.float16, np.float32, np.complex64, ml_dtypes.bfloat16),
  *(ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
)
DTYPES = (*JAX_DTYPES, np.int64, np.uint64, np.float64, np.complex128)
SHAPES = ((), (0,), (3,), (2, 0, 3), (1, 2, 3))
ODD_NAMES = (
  *("a", "a.b", "b", "value", "0", " ", "é", "名", "w*", "[0]", "'", '"'),
  *("%2F", "_METADATA", ".zarray", "~", "...", "a:b", "$(x)", "{}", "<y>"),
)
NAMES = strategies.sampled_from(ODD_NAMES) | strategies.text(
  strategies.characters(exclude_categories="CZ", exclude_characters="/\\."),
  min_size=1,
  max_size=3,
)


@strategies.composite
def _array(draw, dtypes=DTYPES, shapes=SHAPES):
  """Any bits, among them NaNs of every kind."""
  dtype, shape = (
    draw(strategies.sampled_from(dtypes)),
    draw(strategies.sampled_from(shapes)),
  )
  random = np.random.default_rng(draw(strategies.integers(0, 1 << 16)))
  array = random.integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8)
  return (array % 2 if dtype is bool else array).view(dtype).reshape(shape)


def _key(seed, impl, shape):
  return jax.random.split(jax.random.key(seed, impl=impl), 3)[shape]


KEYS = strategies.builds(
  _key,
  strategies.integers(0, 1 << 20),
  strategies.sampled_from(["threefry2x32", "rbg", "unsafe_rbg"]),
  strategies.sampled_from([0, slice(0), slice(2)]),
)
LEAVES = (
  _array()
  | _array(shapes=[()]).map(lambda array: array[()])
  | _array(JAX_DTYPES).map(jnp.asarray)
  | KEYS
  | strategies.booleans()
  | strategies.integers(-(2**63), 2**63 - 1)
  | strategies.floats(allow_nan=False, allow_infinity=False)
  | strategies.floats(-9, 9).map(jnp.asarray)  # of a weak type
  | strategies.integers(-9, 9).map(jnp.asarray)
  | strategies.none()
)
TREES = strategies.recursive(
  LEAVES,
  lambda nodes: (
    strategies.dictionaries(NAMES, nodes, max_size=4)
    | strategies.dictionaries(strategies.integers(0, 20), nodes, max_size=3)
    | strategies.lists(nodes, max_size=4)
    | strategies.tuples(nodes, nodes)
    | strategies.builds(Point, nodes, nodes)
    | strategies.builds(State, nodes, nodes)
  ),
  max_leaves=10,
)


def _is_key(leaf):
  return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(
    leaf.dtype, jax.dtypes.prng_key
  )


def _blank(leaf):
  """Returns another leaf of the same kind."""
  if _is_key(leaf):
    data = jnp.zeros_like(jax.random.key_data(leaf))
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
  if isinstance(leaf, jax.Array):
    return jnp.zeros(leaf.shape, leaf.dtype)
  if isinstance(leaf, np.ndarray):
    return np.zeros_like(leaf)
  return type(leaf)(0)


def _describe(leaf):
  """Returns everything about a leaf that has to come back."""
  weak = getattr(leaf, "weak_type", None)
  kind = jax.Array if isinstance(leaf, jax.Array) else type(leaf)
  impl = str(jax.random.key_impl(leaf)) if _is_key(leaf) else None
  content = np.asarray(jax.random.key_data(leaf) if impl else leaf)
  return kind, weak, impl, content.dtype, content.shape, content.tobytes()


def _open(path, components):
  checkpoint = checkpoint_lib.Checkpoint(path, verbose=False)
  return checkpoint, {
    name: checkpoint.register(name, value) for name, value in components.items()
  }


def _save(path, components):
  checkpoint, _ = _open(path, components)
  with checkpoint:
    checkpoint.save(1)


@hypothesis.given(TREES)
@hypothesis.settings(max_examples=70, deadline=None, derandomize=True)
def test_load_after_save_is_the_identity(tree):
  with tempfile.TemporaryDirectory() as path:
    _save(path, {"agent": tree})
    checkpoint, handles = _open(path, {"agent": jax.tree.map(_blank, tree)})
    assert checkpoint.verify() == {1: []}
    checkpoint.load()
  restored = handles["agent"].value
  assert jax.tree.structure(restored) == jax.tree.structure(tree)
  for left, right in zip(*map(jax.tree.leaves, (restored, tree)), strict=True):
    assert _describe(left) == _describe(right)


KINDS = {
  "f32": lambda n: jnp.full(2, n, jnp.float32),
  "longer": lambda n: jnp.full(3, n, jnp.float32),
  "bf16": lambda n: jnp.full(2, n, jnp.bfloat16),
  "key": jax.random.key,
  "integers": lambda n: np.full((1, 2), n),
}
PART_NAMES = strategies.sampled_from(["w", "w.", "é+"])
PART_LEAVES = strategies.sampled_from(["f32", "f32", "f32", *KINDS])
PARTS = strategies.dictionaries(
  PART_NAMES,
  PART_LEAVES | strategies.dictionaries(PART_NAMES, PART_LEAVES, min_size=1),
  min_size=2,
)
STATES = strategies.fixed_dictionaries({"agent": PARTS, "data": PARTS})


@strategies.composite
def _patterns(draw, paths):
  """A regular expression about some path, and a replacement that fits it."""
  path, other = (draw(strategies.sampled_from(paths)) for _ in range(2))
  first, second = path.split("/")[0], other.split("/")[0]
  return draw(
    strategies.sampled_from(
      [
        (re.escape(path), other),
        (re.escape(path), "agent/new"),
        (f"{first}/(.*)", f"{second}/\\1"),
        (f"({first})/([^/]+)", r"\1/\g<2>/w"),
        (".*" + re.escape(path[-1]), r"\g<0>"),
        (f"(?!{re.escape(path)}).*", r"old/\g<0>"),
        (f"{re.escape(path)}|{re.escape(other)}", r"\g<0>"),
        (".*/nothing", "x"),
      ]
    )
  )


@strategies.composite
def _requests(draw):
  """What is stored, what it is loaded into, and which part of it."""
  stored, target = draw(STATES), draw(STATES)
  paths = sorted({*trees.flatten(stored), *trees.flatten(target)})
  rename = draw(strategies.lists(_patterns(paths), max_size=2))
  regex = draw(strategies.none() | _patterns(paths).map(lambda pair: pair[0]))
  components = draw(strategies.sampled_from([None, None, ("agent",)]))
  return stored, target, components, regex, dict(rename)


def _expect(stored, target, components, regex, rename):
  """Returns `target path -> source` of what is restored, and whether all fits.

  Written anew from the documentation; None if the request is refused.
  """
  sources = {}
  for source in stored:
    matches = [(re.fullmatch(p, source), text) for p, text in rename.items()]
    first = next(((m, text) for m, text in matches if m), None)
    path = first[0].expand(first[1]) if first else source
    if path in sources:
      return None
    sources[path] = source

  def chosen(path):
    named = components is None or path.split("/")[0] in components
    return named and (regex is None or re.fullmatch(regex, path))

  unused = any(
    not any(re.fullmatch(p, source) for source in stored) for p in rename
  )
  if unused or (regex is not None and not any(map(chosen, sources))):
    return None
  restored = {
    path: source
    for path, source in sources.items()
    if chosen(path) and target.get(path) == stored[source]
  }
  asked = set(filter(chosen, {*target, *sources}))
  return restored, asked == set(restored)


@hypothesis.given(_requests())
@hypothesis.settings(max_examples=70, deadline=None, derandomize=True)
def test_what_is_restored_is_what_the_plan_says(request):
  stored, target, *options = request
  flat_stored, flat_target = trees.flatten(stored), trees.flatten(target)
  numbers = {path: n for n, path in enumerate(flat_stored, start=1)}
  before = {path: KINDS[kind](0) for path, kind in flat_target.items()}
  saved = {path: KINDS[flat_stored[path]](n) for path, n in numbers.items()}
  expected = _expect(flat_stored, flat_target, *options)
  hypothesis.event("refused" if expected is None else f"{len(expected[0])}")
  with tempfile.TemporaryDirectory() as path:
    _save(path, trees.unflatten(saved, stored))
    checkpoint, handles = _open(path, trees.unflatten(before, target))

    def now():
      held = {name: handle.value for name, handle in handles.items()}
      return {p: _describe(x) for p, x in trees.flatten(held).items()}

    untouched = now()
    if expected is None:
      with pytest.raises(errors.UserError):
        checkpoint.load(None, *options, strict=False)
      assert now() == untouched
      return
    restored, fits = expected
    if not fits:
      with pytest.raises(checkpoint_lib.MismatchError):
        checkpoint.load(None, *options)
      assert now() == untouched
    if not fits and not restored:
      with pytest.raises(
        checkpoint_lib.MismatchError, match="nothing that fits"
      ):
        checkpoint.load(None, *options, strict=False)
      assert now() == untouched
      return
    report = checkpoint.load(None, *options, strict=fits)
  assert sorted(report.paths(plan.RESTORED)) == sorted(restored)
  rows = collections.Counter(row.path for row in report.rows)
  assert set(rows.values()) <= {1}
  assert {row.path for row in report.rows if row.target} == set(before)
  assert sorted(row.source for row in report.rows if row.source) == sorted(
    saved
  )
  assert now() == untouched | {
    path: _describe(saved[source]) for path, source in restored.items()
  }
