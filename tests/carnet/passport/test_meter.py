"""How far hashing is: numbers by hand, a quiet pipe, a line that goes."""

import io
import sys

from carnet.passport import context, meter


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_what_is_left_follows_from_what_was_done(monkeypatch):
  times = iter([100.0, 100.1, 102.0, 102.2, 106.0])
  monkeypatch.setattr(meter.time, "monotonic", lambda: next(times))
  stream = Terminal()
  monkeypatch.setattr(sys, "stderr", stream)
  shown = meter.Meter(8_000_000_000, 3)
  shown.add(1_000_000_000)  # too soon after the last line
  shown.add(1_000_000_000)  # 2 s for 2 of 8: 6 s for the rest
  shown.add(1_000_000_000)
  shown.add(3_000_000_000)  # 6 s for 6 of 8: 2 s
  shown.close()
  assert stream.getvalue().split("\r\x1b[K") == [
    "hashing 8.0 GB, 3 files",
    "hashing 2.0 of 8.0 GB, 6 s left",
    "hashing 6.0 of 8.0 GB, 2 s left",
    "",
  ]


def test_a_pipe_gets_one_line(capsys):
  shown = meter.Meter(2_000_000_000, 1)
  shown.add(2_000_000_000)
  shown.close()
  assert capsys.readouterr().err == "hashing 2.0 GB, 1 files\n"


def test_libraries_and_small_checkpoints_are_quiet(step, capsys, monkeypatch):
  asked = context.Options(show_progress=True)
  expected = context.Context(step, asked).digests
  assert capsys.readouterr().err == ""
  monkeypatch.setattr(meter, "SHOWN_FROM_BYTES", 1000)
  assert context.Context(step).digests == expected
  assert capsys.readouterr().err == ""
  assert context.Context(step, asked).digests == expected
  assert capsys.readouterr().err == f"hashing 0.0 GB, {len(expected)} files\n"
