"""A process that measures does not outlive the one that asked for it."""

import os
import signal
import subprocess
import sys
import time

import pytest

CHILD = """
import sys, time
from carnet.passport.dynamic import parent
{before}
parent.follow()
print("follows", flush=True)
time.sleep(60)
"""
# as `carnet.passport.generate` starts it
PARENT = """
import subprocess, sys
child = subprocess.Popen(
  [sys.executable, "-c", sys.argv[1]], stderr=subprocess.PIPE
)
print(child.pid, flush=True)
child.communicate()
"""


def _start(before=""):
  """Returns a parent and the number of its child."""
  child = CHILD.format(before=before)
  process = subprocess.Popen(
    [sys.executable, "-c", PARENT, child], stdout=subprocess.PIPE, text=True
  )
  return process, int(process.stdout.readline())


def _ends(number):
  """Tells whether a process that is not ours to wait for ends in 10 s."""
  for _ in range(1000):
    try:
      os.kill(number, 0)
      with open(f"/proc/{number}/stat") as file:
        if file.read().rpartition(")")[2].split()[0] == "Z":
          return True  # nobody adopted it: ended all the same
    except OSError:
      return True
    time.sleep(0.01)
  return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("when", ["later", "before it was asked"])
def test_a_killed_parent_takes_its_child_with_it(when):
  early = when != "later"
  process, child = _start("time.sleep(1)" if early else "")
  try:
    if not early:
      assert process.stdout.readline() == "follows\n"
      time.sleep(0.2)
      os.kill(child, 0)  # it runs as long as its parent does
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert _ends(child)
  finally:
    process.stdout.close()
    if not _ends(child):
      os.kill(child, signal.SIGKILL)


def test_a_file_or_nothing_ends_nobody(tmp_path):
  program = CHILD.format(before="").replace("60", "0.3") + "print('done')\n"
  with (tmp_path / "log").open("w") as log:
    for place in (log, subprocess.DEVNULL):
      done = subprocess.run(
        [sys.executable, "-c", program],
        stderr=place,
        capture_output=False,
        stdout=subprocess.PIPE,
        text=True,
      )
      assert (done.returncode, done.stdout) == (0, "follows\ndone\n")
