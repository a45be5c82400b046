"""Stops commands midway, and tells what they leave."""

import pathlib
import subprocess
import sys
import time


def content(directory: pathlib.Path) -> dict[str, bytes]:
  """Returns the bytes of every file."""
  return {
    str(path.relative_to(directory)): path.read_bytes()
    for path in sorted(directory.rglob("*"))
    if path.is_file()
  }


def start(script, *arguments) -> subprocess.Popen[str]:
  """Starts a script in a group of its own, as a shell gives to a command."""
  return subprocess.Popen(
    [sys.executable, script, *map(str, arguments)],
    start_new_session=True,
    text=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )


def wait_until(condition, seconds=30.0):
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end, "waited in vain"
    time.sleep(0.01)


def alive(group: int) -> list[str]:
  """Returns the running processes of a group; zombies do not count."""
  found = []
  for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    try:
      fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
      continue
    if fields[0] != "Z" and int(fields[2]) == group:
      found.append(stat.parent.name)
  return found


def assert_fills_the_disk(kilobytes, script, *arguments):
  """Runs a script that finds too little room, and says so in one line.

  A limit on the size of files stands in for the size of the disk.
  """
  limited = f'ulimit -f {kilobytes}; exec "$@"'
  command = ["bash", "-c", limited, "bash", sys.executable, script]
  result = subprocess.run(
    [*command, *map(str, arguments)], capture_output=True, text=True
  )
  assert result.returncode == 2, result.stderr
  assert result.stderr.startswith("error: File too large while writing")
  assert result.stderr.count("\n") == 1


def fail_at(monkeypatch, owner, name, call):
  """Interrupts the `call`-th call of a function, as Ctrl-C does."""
  function, calls = getattr(owner, name), []

  def counted(*args, **kwargs):
    calls.append(name)
    if len(calls) == call:
      raise KeyboardInterrupt
    return function(*args, **kwargs)

  monkeypatch.setattr(owner, name, counted)
