"""Lanes run at the same time, all of them to their end, and errors come out."""

import subprocess
import sys
import threading

import pytest

from act import decoding_threads


def test_lanes_run_at_the_same_time(monkeypatch):
  monkeypatch.setattr(decoding_threads, "count", lambda: 3)
  decoding_threads._helpers.cache_clear()
  both = threading.Barrier(3, timeout=10)
  decoding_threads.run([both.wait] * 3)
  decoding_threads._helpers.cache_clear()


@pytest.mark.parametrize("wrong", [0, 1])
def test_an_error_waits_for_the_other_lane(wrong):
  ended = []

  def fail():
    raise ValueError("broken")

  def work():
    ended.append(1)

  lanes = [fail, work] if wrong == 0 else [work, fail]
  with pytest.raises(ValueError, match="broken"):
    decoding_threads.run(lanes)
  assert ended == [1]


def test_nothing_to_do():
  decoding_threads.run([])


def test_a_thread_that_reads_while_the_interpreter_ends():
  code = (
    "import threading, time\n"
    "from act import decoding_threads\n"
    "def read():\n"
    "  for _ in range(40):\n"
    "    decoding_threads.run([lambda: time.sleep(0.01)] * 3)\n"
    "  print('done')\n"
    "threading.Thread(target=read).start()\n"
  )
  result = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
  )
  assert (result.stdout, result.stderr) == ("done\n", "")
