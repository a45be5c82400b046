"""How N environments resume: what each did since its episode began.

An episode is a pure function of its seed and its actions, so these are kept in
place of simulators' states. Legend: N environments, T steps.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from carnet import errors
from carnet.checkpoint import chunks
from carnet.envs import base, vector_buffers

_VERSION = 1


class History:
  """The actions of the episodes in progress, of all environments together."""

  def __init__(self, count: int) -> None:
    self._steps: list[Mapping[str, np.ndarray]] = []  # each [N, ...]
    self._begins = [0] * count  # positions in `_steps`

  def append(
    self, actions: Mapping[str, np.ndarray], begun: Iterable[int]
  ) -> None:
    """Adds a step; the environments in `begun` show the start of an episode."""
    self._steps.append(actions)
    for i in begun:
      self._begins[i] = len(self._steps)
    unused = min(self._begins)
    if 2 * unused > len(self._steps):
      self._steps = self._steps[unused:]
      self._begins = [begin - unused for begin in self._begins]

  def length(self, i: int) -> int:
    """Returns how many steps environment i has gone in its episode."""
    return len(self._steps) - self._begins[i]

  def actions(self, name: str, empty: np.ndarray) -> list[np.ndarray]:
    """Returns each environment's [T, ...]; `empty` where there are none."""
    if not self._steps:
      return [empty for _ in self._begins]
    whole = np.stack([step[name] for step in self._steps], axis=1)
    return [whole[i, begin:] for i, begin in enumerate(self._begins)]

  def restore(self, episodes: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Takes over the actions [T, ...] of each environment, by name."""
    lengths = [len(next(iter(actions.values()))) for actions in episodes]
    total = max(lengths)
    whole = {
      name: np.zeros((total, len(episodes), *array.shape[1:]), array.dtype)
      for name, array in episodes[0].items()
    }
    for i, actions in enumerate(episodes):
      for name, array in actions.items():
        whole[name][total - lengths[i] :, i] = array
    self._begins = [total - length for length in lengths]
    self._steps = [{k: a[t] for k, a in whole.items()} for t in range(total)]


@dataclasses.dataclass(frozen=True)
class Stored:
  """What a state says of each environment.

  Attributes:
    episodes: numbers, -1 before the first.
    actions: arrays [T, ...] by name.
    shown: digests of what was seen.
  """

  episodes: list[int]
  actions: list[dict[str, np.ndarray]]
  shown: list[str]


def to_state(
  spaces: vector_buffers.Spaces,
  seed: int,
  episodes: Sequence[int],
  history: History,
  shown: Sequence[str],
) -> chunks.Chunked:
  """Returns one chunk with the actions of all, one after another; and facts."""
  joined = {}
  for name, space in spaces.actions.items():
    empty = np.zeros((0, *space.shape), space.dtype)
    joined[name] = np.concatenate(history.actions(name, empty))
  facts = {
    "version": _VERSION,
    "seed": seed,
    "spaces": _describe(spaces),
    "episodes": list(episodes),
    "lengths": [history.length(i) for i in range(len(episodes))],
    "shown": list(shown),
  }
  return chunks.Chunked([chunks.Chunk(joined)], facts)


def from_state(
  state: Any, spaces: vector_buffers.Spaces, seed: int, count: int
) -> Stored:
  """Returns what `to_state` was given.

  Raises:
    UserError: the state is of other environments, or of something else.
  """
  try:
    return _parse(state, spaces, seed, count)
  except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
    raise errors.UserError(
      "this is not the state of a number of environments: "
      f"{type(error).__name__} {error}"
    ) from error


def _parse(
  state: Any, spaces: vector_buffers.Spaces, seed: int, count: int
) -> Stored:
  facts = state.facts
  if facts["version"] != _VERSION:
    raise ValueError(f"format {facts['version']}, not {_VERSION}")
  episodes, lengths = facts["episodes"], facts["lengths"]
  _refuse_other("number of environments", len(episodes), count)
  _refuse_other("seed of the environments", facts["seed"], seed)
  here = _describe(spaces)
  for kind, there in facts["spaces"].items():
    for name in sorted(there.keys() | here[kind].keys()):
      stored, own = there.get(name, "absent"), here[kind].get(name, "absent")
      _refuse_other(f"{kind} '{name}'", stored, own)
  numbers = [*episodes, *lengths]
  if any(type(n) is not int or n < -1 for n in numbers) or min(lengths) < 0:
    raise ValueError("its counts are not counts")
  if len(lengths) != count or len(facts["shown"]) != count:
    raise ValueError("its lists are of different lengths")
  if len({n < 0 for n in episodes}) > 1 or (episodes[0] < 0 and any(lengths)):
    raise ValueError("some environments have begun, and others have not")
  (chunk,) = state.chunks
  ends = np.cumsum(lengths)
  actions: list[dict[str, np.ndarray]] = [{} for _ in range(count)]
  for name, space in spaces.actions.items():
    array = _fitting(chunk.arrays[name], name, space, int(ends[-1]))
    for i, part in enumerate(np.split(array, ends[:-1])):
      actions[i][name] = part
  return Stored(episodes, actions, facts["shown"])


def _fitting(
  array: np.ndarray, name: str, space: base.Space, total: int
) -> np.ndarray:
  if array.shape != (total, *space.shape) or array.dtype != space.dtype:
    raise errors.UserError(
      f"the stored actions '{name}' are {array.dtype} {list(array.shape)}, "
      f"not {space.dtype} {[total, *space.shape]}: they are of another task"
    )
  return array


def _refuse_other(what: str, stored: Any, own: Any) -> None:
  if stored != own:
    raise errors.UserError(
      f"the {what} was {stored} when the environments were saved and is {own} "
      "now: set it as it was, or leave the environments out of the restore"
    )


def _describe(spaces: vector_buffers.Spaces) -> dict[str, dict[str, str]]:
  kinds = {"observation": spaces.observation, "action": spaces.actions}
  return {
    kind: {name: _text(space) for name, space in of_kind.items()}
    for kind, of_kind in kinds.items()
  }


def _text(space: base.Space) -> str:
  classes = f" of {space.classes} classes" if space.classes else ""
  return f"{space.dtype} {list(space.shape)}{classes}"


def digest(buffers: vector_buffers.Buffers, i: int) -> str:
  """Returns what tells whether environment i shows the same, bit for bit."""
  found = hashlib.sha256()
  for array in (
    *(rows for _, rows in sorted(buffers.observation.items())),
    *(buffers.reward, buffers.is_first, buffers.is_last, buffers.is_terminal),
  ):
    found.update(array[i].tobytes())
  return found.hexdigest()[:16]
