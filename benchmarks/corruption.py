"""What damage to the newest of two steps does, by carnet and by plain Orbax.

  benchmarks/corruption.py                # one JSON line a kind of damage
  benchmarks/corruption.py --markdown     # the table of the documentation

Both save the same two states. Then every file of the newer step is damaged, one
at a time, a training program resumes, and what it got is compared with what was
saved. "Silently wrong" are other bits, another shape or another dtype, such as
a typed random key that came back as integers. "Named" counts the trials whose
error, or reason to take the older step, has the path of the file or a leaf.

carnet resumes with `load_or_save`; Orbax with the `latest_step` of a
`CheckpointManager` and `StandardRestore` into a target of the right structure.
What Orbax prints while its reads fail is on standard error.
"""

import collections
import dataclasses
import functools
import json
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import flags, logging

from carnet import checkpoint as checkpoint_lib
from carnet import cli, trees

_MIB = flags.DEFINE_float("mib", 8.0, "MiB of the state.", 0.001)
_FLIPS = flags.DEFINE_integer("flips", 20, "Bits flipped in each file.", 1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the state and of the places.")
_MARKDOWN = flags.DEFINE_boolean("markdown", False, "Print a table instead.")

OLD, NEW = 1, 2
KINDS = (
  *("flip a bit of array data", "flip a bit of another file"),
  *("truncate", "delete", "rename", "swap"),
)
OUTCOMES = ("error", "older step", "silently wrong", "harmless")


@dataclasses.dataclass(frozen=True)
class Library:
  """Saves states, resumes from them, and knows the directory of a step.

  `resume` returns the step, the state, and why a newer step was not used.
  """

  save: Callable[[pathlib.Path, dict[int, Any]], None]
  resume: Callable[[pathlib.Path, Any], tuple[int, Any, str]]
  step_name: Callable[[int], str]


def make_state(step: int, size_bytes: int, seed: int) -> dict[str, Any]:
  """Returns a training state: noise, coarse frames, a counter and a key."""
  generator = np.random.default_rng((seed, step))
  count = max(size_bytes // 16, 4)
  arrays = {
    name: generator.standard_normal((count // 4, 4), np.float32)
    for name in ("params", "mu", "nu")
  }
  frames = np.repeat(generator.integers(0, 255, count // 4, np.uint8), 16)
  return {
    **jax.tree.map(jnp.asarray, arrays),
    "frames": jnp.asarray(frames),
    "step": jnp.int32(step),
    "key": jax.random.key(step),
  }


def save_carnet(root: pathlib.Path, states: dict[int, Any]) -> None:
  """Saves the state, and its step as a JSON component."""
  with checkpoint_lib.Checkpoint(root, verbose=False) as checkpoint:
    agent = checkpoint.register("agent", next(iter(states.values())))
    counter = checkpoint.register("counter", {})
    for step, agent.value in states.items():
      counter.value = {"step": step}
      checkpoint.save(step)


def resume_carnet(root: pathlib.Path, target: Any) -> tuple[int, Any, str]:
  """Loads the newest sound step."""
  with checkpoint_lib.Checkpoint(root, verbose=False) as checkpoint:
    agent = checkpoint.register("agent", target)
    checkpoint.register("counter", {})
    step = checkpoint.load_or_save()
    return step, agent.value, " ".join(checkpoint.skipped.values())


def save_orbax(root: pathlib.Path, states: dict[int, Any]) -> None:
  """Saves the state, and its step as a JSON item."""
  with ocp.CheckpointManager(root) as manager:
    for step, state in states.items():
      items = {
        "agent": ocp.args.StandardSave(state),
        "counter": ocp.args.JsonSave({"step": step}),
      }
      manager.save(step, args=ocp.args.Composite(**items))


def resume_orbax(root: pathlib.Path, target: Any) -> tuple[int, Any, str]:
  """Loads the step that the manager finds to be the latest."""
  with ocp.CheckpointManager(root) as manager:
    step = manager.latest_step()
    items = {
      "agent": ocp.args.StandardRestore(target),
      "counter": ocp.args.JsonRestore(),
    }
    loaded = manager.restore(step, args=ocp.args.Composite(**items))
    # a program that takes its step from the item would go on from another
    return loaded["counter"]["step"], loaded["agent"], ""


LIBRARIES = {
  "carnet": Library(save_carnet, resume_carnet, "{:09d}".format),
  "orbax": Library(save_orbax, resume_orbax, str),
}


def flip(path: pathlib.Path, generator: np.random.Generator) -> None:
  """Flips one random bit."""
  content = bytearray(path.read_bytes())
  content[generator.integers(len(content))] ^= 1 << generator.integers(8)
  path.write_bytes(content)


def truncate(path: pathlib.Path) -> None:
  """Cuts a file in half."""
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])


def swap(path: pathlib.Path, new: pathlib.Path, old: pathlib.Path) -> None:
  """Puts the other step's file there, or if it has another name, its like."""
  other = old / path.relative_to(new)
  if not other.exists():  # Orbax names data files at random
    size = path.stat().st_size
    others = [p for p in other.parent.iterdir() if p.is_file()]
    other = min(others, key=lambda p: abs(p.stat().st_size - size))
  shutil.copyfile(other, path)


def damages(
  path: pathlib.Path,
  new: pathlib.Path,
  old: pathlib.Path,
  flips: int,
  generator: np.random.Generator,
) -> Iterator[tuple[str, Callable[[], Any]]]:
  """Yields each kind of damage to a file, and how to do it."""
  place = "array data" if path.parent.name == "d" else "another file"
  for _ in range(min(flips, path.stat().st_size)):
    yield f"flip a bit of {place}", functools.partial(flip, path, generator)
  yield "truncate", functools.partial(truncate, path)
  yield "delete", path.unlink
  yield "rename", functools.partial(path.rename, path.with_name("renamed"))
  yield "swap", functools.partial(swap, path, new, old)


def measure(
  library: Library, states: dict[int, Any], flips: int, seed: int
) -> dict[str, collections.Counter[str]]:
  """Returns how often each kind of damage had each outcome."""
  counts = {kind: collections.Counter[str]() for kind in KINDS}
  generator = np.random.default_rng(seed)
  with tempfile.TemporaryDirectory() as place:
    root = pathlib.Path(place) / "run"
    library.save(root, states)
    new, old = (root / library.step_name(step) for step in (NEW, OLD))
    for path in sorted(p for p in new.rglob("*") if p.is_file()):
      content, name = path.read_bytes(), str(path.relative_to(new))
      for kind, damage in damages(path, new, old, flips, generator):
        damage()
        if path.exists() and path.read_bytes() == content:
          continue  # both steps hold the same file
        outcome, reason = judge(library, root, states)
        named = name in reason or "leaf agent/" in reason
        counts[kind].update({outcome: 1, "trials": 1, "named": named})
        path.with_name("renamed").unlink(missing_ok=True)
        path.write_bytes(content)
  return counts


def judge(
  library: Library, root: pathlib.Path, states: dict[int, Any]
) -> tuple[str, str]:
  """Resumes; returns the outcome and what was said of the damage."""
  target = jax.tree.map(blank, states[NEW])
  try:
    step, state, reason = library.resume(root, target)
  except Exception as error:  # whatever stops the program tells the user
    return "error", str(error)
  if step not in states or describe(state) != describe(states[step]):
    return "silently wrong", reason
  return "harmless" if step == NEW else "older step", reason


def blank(leaf: jax.Array) -> jax.Array:
  """Returns another leaf of the same kind."""
  if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    return jax.random.key(0)
  return jnp.zeros_like(leaf)


def describe(state: Any) -> dict[str, tuple[Any, ...]]:
  """Returns `path -> dtype, shape, bytes`."""
  found = {}
  for path, leaf in trees.flatten(state).items():
    dtype = leaf.dtype
    if jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    found[path] = (dtype, leaf.shape, np.asarray(leaf).tobytes())
  return found


def main(argv: Sequence[str]) -> None:
  """Damages the checkpoints of both libraries and prints what came of it."""
  del argv
  logging.set_verbosity(logging.FATAL)  # each trial would be reported
  size_bytes = int(_MIB.value * (1 << 20))
  states = {s: make_state(s, size_bytes, _SEED.value) for s in (OLD, NEW)}
  columns = ("trials", *OUTCOMES, "named")
  if _MARKDOWN.value:
    print("| damage | library |", " | ".join(columns), "|")
    print("|---|---|" + "---:|" * len(columns))
  rows = {
    name: measure(library, states, _FLIPS.value, _SEED.value)
    for name, library in LIBRARIES.items()
  }
  for kind in KINDS:
    for name in LIBRARIES:
      figures = {column: rows[name][kind][column] for column in columns}
      if _MARKDOWN.value:
        print(
          f"| {kind} | {name} |", " | ".join(map(str, figures.values())), "|"
        )
      else:
        facts = {"benchmark": "corruption", "damage": kind, "library": name}
        print(json.dumps(facts | figures), flush=True)


if __name__ == "__main__":
  cli.run(main)
