"""How far the hashing of a large checkpoint is, on one line of a terminal."""

import sys
import threading
import time

SHOWN_FROM_BYTES = 1_000_000_000  # from here on it takes a second or more
_SECONDS = 0.5  # between two lines


class Meter:
  """Counts bytes from several threads, on standard error.

  What is no terminal gets the first line only.
  """

  def __init__(self, total_bytes: int, files: int) -> None:
    self._total, self._done = total_bytes, 0
    self._lock = threading.Lock()
    self._began = self._shown = time.monotonic()
    self._live = sys.stderr.isatty()
    end = "" if self._live else "\n"
    self._write(f"hashing {total_bytes / 1e9:.1f} GB, {files} files{end}")

  def add(self, count: int) -> None:
    """Counts bytes that were hashed, and tells when it is time to."""
    with self._lock:
      self._done += count
      now = time.monotonic()
      if not self._live or now - self._shown < _SECONDS or not self._done:
        return
      self._shown = now
      left = (now - self._began) * (self._total / self._done - 1)
      self._write(
        f"\r\x1b[Khashing {self._done / 1e9:.1f} of "
        f"{self._total / 1e9:.1f} GB, {left:.0f} s left"
      )

  def close(self) -> None:
    """Takes the line away."""
    if self._live:
      self._write("\r\x1b[K")

  def _write(self, text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
