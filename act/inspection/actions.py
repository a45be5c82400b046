"""Actions that jump, and how they stand to the states.

Letters: A action, F frames, S steps from a frame to the next.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from act.inspection import report, vectors
from act.recordings import base, naming

_BEYOND = 8.0  # times the 99th percentile of the joint's own steps
_SHARE = 0.2  # of the joint's range
_FEW_VALUES = 4  # a gripper that opens or closes jumps by right
_TURNS = (2 * np.pi, 360.0)
_AHEAD, _BEHIND = 25, 10  # frames of lag that are looked for
_LATE_SECONDS = 0.3
_GAIN = 0.8  # of the distance without lag: less is a lag
_MOST_FRAMES = 200_000  # that are compared


def findings(recording: base.Recording) -> Iterator[report.Finding]:
  """Yields what is wrong with the actions; nothing where there are none."""
  action = _find(recording, (naming.ACTION,))
  if action is None or not np.isfinite(recording.vectors[action].values).all():
    return
  yield from _jumps(recording, action)
  yield from _unused_end(recording, action)
  state = _find(recording, vectors.STATES)
  if state is None:
    return
  width = recording.vectors[action].values.shape[1]
  values = recording.vectors[state].values
  if values.shape[1] == width and np.isfinite(values).all():
    yield from _against_state(recording, action, state)


def inner(recording: base.Recording) -> np.ndarray:
  """Returns which frames have one before them in their episode."""
  found = np.ones(recording.num_frames, np.bool_)
  found[recording.first_frames] = False
  return found


def _find(recording: base.Recording, wanted: tuple[str, ...]) -> str | None:
  """Returns the vector that is called so when its beginning is left out."""
  for name in recording.vectors:
    if vectors.last(name) in wanted:
      return name
  return None


def _jumps(recording: base.Recording, name: str) -> Iterator[report.Finding]:
  """Yields a finding for each place at which joints jump farthest."""
  vector = recording.vectors[name]
  values = vector.values.astype(np.float64)
  frames = np.flatnonzero(inner(recording))
  steps = np.abs(values[frames] - values[frames - 1])  # [S, A]
  places: dict[tuple[int, bool], list[_Jumps]] = {}
  for index, joint in enumerate(vectors.names(vector)):
    found = _of_joint(joint, frames, steps[:, index], values[:, index])
    if found is not None:
      place = (int(found.frames[0]), found.turned)
      places.setdefault(place, []).append(found)
  for (frame, turned), joints in sorted(places.items()):
    yield _jump(recording, name, frame, turned, joints)


@dataclasses.dataclass(frozen=True)
class _Jumps:
  """Where a joint jumps, the farthest first."""

  joint: str
  frames: np.ndarray
  size: float
  usual: float

  @property
  def turned(self) -> bool:
    return any(abs(self.size - turn) < 0.05 * turn for turn in _TURNS)


def _of_joint(
  joint: str,
  frames: Int[np.ndarray, " S"],
  steps: Float[np.ndarray, " S"],
  values: Float[np.ndarray, " F"],
) -> _Jumps | None:
  if not len(steps) or len(np.unique(values)) <= _FEW_VALUES:
    return None
  span = float(np.ptp(values))
  usual = max(float(np.quantile(steps, 0.99)), 1e-3 * span)
  found = np.flatnonzero(steps > max(_BEYOND * usual, _SHARE * span))
  if not len(found):
    return None
  found = found[np.argsort(-steps[found], kind="stable")]
  return _Jumps(joint, frames[found], float(steps[found[0]]), usual)


def _jump(
  recording: base.Recording,
  name: str,
  frame: int,
  turned: bool,
  joints: Sequence[_Jumps],
) -> report.Finding:
  worst = max(joints, key=lambda x: x.size / x.usual)
  frames = np.unique(np.concatenate([x.frames for x in joints]))
  episodes = {vectors.locate(recording, int(x))[0] for x in frames}
  several = f"{len(frames)} jumps in {len(episodes)} episodes; here"
  if len(episodes) == 1:
    several = f"{len(frames)} jumps; here" if len(frames) > 1 else "Here"
  episode, position = vectors.locate(recording, frame)
  return report.Finding(
    kind="action wraps around" if turned else "action jumps",
    severity="severe" if turned else "warning",
    said=f"{several} {worst.joint} goes by {worst.size:.3g} at once, and 99 of "
    f"100 of its steps are below {worst.usual:.3g}."
    + (" That is a whole turn." if turned else ""),
    advice="Unwrap the angle (np.unwrap): a policy answers with the mean of "
    "both ends."
    if turned
    else "Look at the film there: frames are missing, or the operator's device "
    "lost its grip. Leave the episode out if so.",
    feature=name,
    dimensions=tuple(x.joint for x in joints),
    episode=episode,
    frame=position,
  )


def _unused_end(
  recording: base.Recording, name: str
) -> Iterator[report.Finding]:
  """RLDS: the action of the last step is not carried out, and may be zero."""
  values = recording.vectors[name].values
  last = recording.first_frames + recording.lengths - 1
  empty = (values[last] == 0).all(axis=1)
  before = (values[last - 1] == 0).all(axis=1)
  odd = empty & ~before
  if odd.sum() > len(last) / 2:
    yield report.Finding(
      kind="last action empty",
      severity="warning",
      said=f"The last action of {int(odd.sum())} episodes is all zeros and the "
      "one before is not, as RLDS has it: it was never carried out.",
      advice="Drop the last frame where zeros are a command (joint positions); "
      "where actions are changes, they do no harm.",
      feature=name,
    )


def _against_state(
  recording: base.Recording, action: str, state: str
) -> Iterator[report.Finding]:
  commands = recording.vectors[action].values
  states = recording.vectors[state].values
  still = np.ptp(commands, axis=0) == 0
  if still.all():
    return
  distances = {
    lag: _distance(recording, commands[:, ~still], states[:, ~still], lag)
    for lag in range(-_BEHIND, _AHEAD + 1)
  }
  distances = {k: x for k, x in distances.items() if np.isfinite(x)}
  if not distances or 0 not in distances:
    return
  best = min(distances, key=lambda lag: (distances[lag], abs(lag)))
  copied = _copied(action, state, distances)
  if copied is not None:
    yield copied
  elif distances[best] < _GAIN * distances[0]:
    yield _lag(recording, action, state, best)


def _distance(
  recording: base.Recording,
  commands: Float[np.ndarray, "F A"],
  states: Float[np.ndarray, "F A"],
  lag: int,
) -> float:
  """Returns how far a_t is from s_{t+lag}, in deviations of the actions."""
  frames = np.arange(recording.num_frames)
  episodes = np.repeat(np.arange(len(recording.lengths)), recording.lengths)
  other = frames + lag
  sound = (other >= 0) & (other < len(frames))
  sound[sound] = episodes[other[sound]] == episodes[frames[sound]]
  chosen = frames[sound][:_MOST_FRAMES]
  if not len(chosen):
    return float("nan")
  difference = commands[chosen] - states[chosen + lag]
  scale = commands.std(axis=0) + 1e-12
  return float(np.sqrt(np.mean((difference / scale) ** 2)))


def _copied(
  action: str, state: str, distances: dict[int, float]
) -> report.Finding | None:
  if distances[0] < 1e-6:
    return report.Finding(
      kind="action equals state",
      severity="severe",
      said=f"In every frame it is '{state}' of the same frame.",
      advice="A policy learns to stand still: record what was commanded, or "
      "take the state of a later frame as the action.",
      feature=action,
    )
  if distances.get(1, 1.0) < 1e-6:
    return report.Finding(
      kind="action is the next state",
      severity="note",
      said=f"In every frame it is '{state}' of the frame after it.",
      advice="Commands were not recorded. It works where the robot follows "
      "quickly; grip force and contact are lost.",
      feature=action,
    )
  return None


def _lag(
  recording: base.Recording, action: str, state: str, lag: int
) -> report.Finding:
  seconds = lag / recording.fps if recording.fps else None
  told = f"{abs(lag)} frame{'s' * (abs(lag) > 1)}"
  if seconds is not None:
    told += f" ({abs(seconds):.2g} s)"
  if lag < 0:
    return report.Finding(
      kind="action behind state",
      severity="warning",
      said=f"It fits '{state}' best {told} earlier: the robot moved before it "
      "was told to.",
      advice="Check how the streams were put together; actions and states are "
      "probably shifted.",
      feature=action,
    )
  late = seconds is not None and seconds > _LATE_SECONDS
  return report.Finding(
    kind="action ahead of state",
    severity="warning" if late else "note",
    said=f"'{state}' follows it best after {told}.",
    advice="That much is slow for a robot: check the clocks of the streams."
    if late
    else "Robots take that long. Evaluate at the same rate, with the same lag.",
    feature=action,
  )
