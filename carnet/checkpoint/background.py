"""One save at a time, beside the training; a failure waits to be asked for."""

import errno
import logging
import threading

from carnet.checkpoint import directory, faults, writer

_log = logging.getLogger(__name__)


class Background:
  """Runs `writer.write` in a thread, under a lock that its owner acquires.

  A program that ends waits for the writing, whether it closed or not.
  """

  def __init__(self, lock: directory.Lock) -> None:
    self._lock = lock  # a forgotten lock lets go, but not while this writes
    self._save: _Save | None = None

  @property
  def busy(self) -> bool:
    """Tells whether a save was started and not yet waited for."""
    return self._save is not None

  def start(self, job: writer.Job) -> None:
    """Starts to write; the save before must have been waited for."""
    self._save = _Save(job, self._lock)

  def wait(self) -> int | None:
    """Returns the step that was written since the last call, if any.

    An interrupt leaves it writing, and to be waited for again.

    Raises:
      SaveError: it was not; the message says why.
    """
    save = self._save
    if save is None:
      return None
    save.done.wait()
    self._save = None
    if save.failure is not None:
      raise save.failure
    return save.job.step


class _Save:
  """A save that is being written in a thread of its own."""

  def __init__(self, job: writer.Job, lock: directory.Lock) -> None:
    self.job = job
    self.done = threading.Event()
    self.failure: faults.SaveError | None = None
    self._lock = lock
    _unfinished.add(self)
    name = f"save step {job.step}"
    threading.Thread(target=self._write, name=name).start()

  def _write(self) -> None:
    job = self.job
    try:
      writer.write(job)
    except BaseException as error:
      gone = not job.root.is_dir()
      self.failure = faults.SaveError(
        f"saving step {job.step} to {job.root} failed: {_reason(error)}; "
        + ("the directory is gone" if gone else _UNTOUCHED)
      )
      self.failure.__cause__ = error
      # The program may end without another call; then this is all it says.
      _log.error("%s", self.failure)
    finally:
      _unfinished.discard(self)
      self.done.set()


_UNTOUCHED = "steps saved before are untouched"
_unfinished: set[_Save] = set()


def _finish() -> None:
  for save in _unfinished.copy():
    save.done.wait()


# Threads cannot start others once the interpreter shuts down, and atexit comes
# after that. The pools that the writing needs end by this hook too.
threading._register_atexit(_finish)  # type: ignore[attr-defined]


def _reason(error: BaseException) -> str:
  line = str(error).splitlines()[0] if str(error) else ""
  full = isinstance(error, OSError) and error.errno == errno.ENOSPC
  if (
    full or f"os_error_code='{errno.ENOSPC}'" in line
  ):  # as TensorStore says it
    return "no space left on the disk: free some and save again"
  return f"{type(error).__name__}: {line}"
