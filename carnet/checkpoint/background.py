"""One save at a time, beside the training; a failure waits to be asked for."""

import errno
import logging
import threading

from carnet.checkpoint import directory, faults, writer

_log = logging.getLogger(__name__)


class Background:
  """Runs `writer.write` in a thread, under a lock that its owner acquires."""

  def __init__(self, lock: directory.Lock) -> None:
    self._lock = lock  # a forgotten lock lets go, but not while this writes
    self._thread: threading.Thread | None = None
    self._job: writer.Job | None = None
    self._failure: faults.SaveError | None = None

  @property
  def busy(self) -> bool:
    """Tells whether a save was started and not yet waited for."""
    return self._thread is not None

  def start(self, job: writer.Job) -> None:
    """Starts to write; the save before must have been waited for."""
    self._job = job
    self._thread = threading.Thread(
      target=self._write, args=(job,), name=f"save step {job.step}"
    )
    self._thread.start()

  def wait(self) -> int | None:
    """Returns the step that was written since the last call, if any.

    Raises:
      SaveError: it was not; the message says why.
    """
    if self._thread is None or self._job is None:
      return None
    self._thread.join()
    step, failure = self._job.step, self._failure
    self._thread = self._job = self._failure = None
    if failure is not None:
      raise failure
    return step

  def _write(self, job: writer.Job) -> None:
    try:
      writer.write(job)
    except BaseException as error:
      self._failure = faults.SaveError(
        f"saving step {job.step} to {job.root} failed: {_reason(error)}; steps "
        "saved before are untouched"
      )
      self._failure.__cause__ = error
      # The program may end without another call; then this is all it says.
      _log.error("%s", self._failure)


def _reason(error: BaseException) -> str:
  line = str(error).splitlines()[0] if str(error) else ""
  full = isinstance(error, OSError) and error.errno == errno.ENOSPC
  if (
    full or f"os_error_code='{errno.ENOSPC}'" in line
  ):  # as TensorStore says it
    return "no space left on the disk: free some and save again"
  return f"{type(error).__name__}: {line}"
