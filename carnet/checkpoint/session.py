"""A program that writes to a directory of steps, in one process or several."""

import pathlib
import time
from collections.abc import Iterator

from carnet import errors
from carnet.checkpoint import directory, faults, processes

_SOUND, _DAMAGED, _REFUSED = range(3)


class Session:
  """The right to write, and what the processes agreed on under it.

  Attributes:
    lock: held from `begin` to `end`.
    present: complete steps on disk since `begin`.
    unsound: those that turned out damaged.
  """

  def __init__(self, root: pathlib.Path) -> None:
    self.lock = directory.Lock(root)
    self.present: set[int] = set()
    self.unsound: set[int] = set()
    self._root = root
    self._token = 0

  @property
  def newest(self) -> int:
    """The newest sound step, or -1."""
    there = {int(path.name) for path in directory.numbered(self._root)}
    return max(self.present & there - self.unsound, default=-1)

  def token(self, step: int) -> int:
    """Returns a number for one save, the same in all processes.

    Raises:
      UserError: they do not all save the same step.
    """
    self._token += 1
    steps = processes.from_all(step)
    if len(set(steps)) > 1:
      raise errors.UserError(
        f"the processes save different steps, {steps}: call save at the same "
        "ones in all; what is due by seconds must be agreed on"
      )
    return self._token

  def begin(self) -> None:
    """Takes the right to write; does nothing when it is held already.

    Raises:
      UserError: another program has it, the directory cannot be written, or
        is not the same in all processes.
    """
    if self.lock.held:
      self.lock.renew()
      return
    process, refusal = processes.this(), None
    if process.leads:
      try:
        self.lock.acquire()
      except errors.UserError as error:
        refusal = error
    self._token = processes.from_leader(0 if refusal else time.monotonic_ns())
    if refusal or not self._token:
      raise refusal or errors.UserError(
        f"process 0 cannot write checkpoints to {self._root}"
      )
    if not process.leads:
      self.lock.follow()
    self._check_shared()
    self.present = set(directory.complete(self._root))

  def end(self) -> None:
    """Lets another program write."""
    self.lock.release()

  def newest_first(self) -> Iterator[pathlib.Path]:
    """Yields what is named like a step, as the first process sees it."""
    below = 1 << 62
    while True:
      numbers = [int(path.name) for path in directory.numbered(self._root)]
      older = max((n for n in numbers if n < below), default=-1)
      below = processes.from_leader(older + 1) - 1
      if below < 0:
        return
      yield self._root / directory.step_name(below)

  def agree(self, path: pathlib.Path, error: Exception | None) -> str:
    """Returns what is wrong with a step that was loaded, in any process.

    Raises:
      Exception: `error`, when it is not about damage.
      UserError: another process had such an error.
    """
    outcome = _SOUND
    if error is not None:
      damaged = isinstance(error, faults.CorruptError)
      outcome = _DAMAGED if damaged else _REFUSED
    outcomes = processes.from_all(outcome)
    if error is not None and outcome == _REFUSED:
      raise error
    if _REFUSED in outcomes:
      raise errors.UserError(
        f"process {outcomes.index(_REFUSED)} could not load {path}; it says why"
      )
    if error is not None:
      return str(error)
    if _DAMAGED in outcomes:
      return f"{path} is damaged for process {outcomes.index(_DAMAGED)}"
    return ""

  def clear(self) -> None:
    """Sets unsound steps aside, to begin anew."""
    if processes.this().leads:
      for path in directory.numbered(self._root):
        directory.set_aside(path)
    self.present.clear()

  def _check_shared(self) -> None:
    """Refuses a directory that is another one in another process."""
    found = processes.from_all(self.lock.fingerprint())
    strangers = [i for i, value in enumerate(found) if value != found[0]]
    if strangers:
      self.lock.release()
      raise errors.UserError(
        f"processes {strangers} see another {self._root} than process 0: "
        "checkpoints need a directory that all processes share"
      )
