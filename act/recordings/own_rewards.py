"""What our demonstrations know beyond a Recording: rewards and success."""

import numpy as np

from act import storage
from act.recordings import base


def of(found: base.Recording) -> dict[str, np.ndarray]:
  """Returns next.reward, next.done, next.success of all frames; {} of others.

  The reward follows the action, as LeRobot's next.reward does. An episode is
  done at its last frame, and `success` is told there.
  """
  if found.details.get("format_version") != storage.FORMAT_VERSION:
    return {}
  table = found.details["episodes"]
  stored = storage.read_arrays(found.path / storage.LOW_DIMENSIONAL_FILE)
  rewards, successes = [], []
  for number, length in zip(
    found.episodes.tolist(), found.lengths.tolist(), strict=True
  ):
    first = table[number]["first_frame"]
    rewards.append(stored["reward"][first : first + length])
    successes.append(bool(table[number]["success"]))
  done = np.zeros(found.num_frames, np.bool_)
  last = found.first_frames + found.lengths - 1
  done[last] = True
  success = np.zeros_like(done)
  success[last] = successes
  return {
    "next.reward": np.concatenate(rewards).astype(np.float32),
    "next.done": done,
    "next.success": success,
  }
