"""Validates checkpoints under an audit hook, and prints a JSON line for each.

A line has the exit code, what was red, all that was printed, and what was
tried that no reader of a checkpoint may do. Started by
`checks/test_hostile.py`, which tells on stdin what to look at: rows of `root`,
`words`, `load` and `git`. With "heavy" the first row is validated unwatched, so
that all libraries are imported. What TensorStore opens in C++ no hook sees.
"""

import contextlib
import importlib
import io
import json
import os
import pathlib
import sys

from carnet import errors
from carnet.passport import validate, validate_command

FORBIDDEN = (
  *("os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork"),
  *("os.forkpty", "subprocess.Popen", "pty.spawn", "pickle.find_class"),
  *("socket.connect", "socket.bind", "socket.getaddrinfo", "ctypes.dlopen"),
  *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink"),
  *("os.chmod", "os.truncate", "shutil.rmtree", "urllib.Request"),
)
OWN = (
  *("carnet", "act", "dreamer"),
  *("numpy", "packaging", "pydantic", "pydantic_core", "PIL"),
)
CODE = tuple(os.path.realpath(x) for x in sys.path if x)


class Watch:
  """Collects what was tried; `row` tells what may be read."""

  def __init__(self):
    self.row = None
    self.tried = []

  def __call__(self, event, values):
    if self.row is None:
      return
    if event in FORBIDDEN and not self._is_git(event, values):
      self.tried.append(f"{event} {values!r:.200}")
      raise PermissionError(event)
    if event == "import":
      name = values[0].partition(".")[0]
      if name not in sys.stdlib_module_names and name not in OWN:
        self.tried.append(f"import {values[0]}")
    if event == "open" and isinstance(values[0], str | bytes | os.PathLike):
      self._opened(os.fsdecode(values[0]), values[2])

  def _is_git(self, event, values):
    """Tells whether it is the one program that one threat is about."""
    starts = event in ("subprocess.Popen", "os.posix_spawn")
    return self.row["git"] and starts and os.path.basename(values[0]) == "git"

  def _opened(self, path, flags):
    if not isinstance(flags, int):
      flags = 0
    if path == os.devnull:
      return
    if flags & (os.O_WRONLY | os.O_RDWR):
      self.tried.append(f"writes {path}")
    if not os.path.isabs(path) and flags & os.O_NOFOLLOW and "/" not in path:
      return  # a name, below a descriptor of the checkpoint
    if not flags & os.O_NOFOLLOW:
      path = os.path.realpath(path)
    given = [word.partition("=")[2] for word in self.row["words"]]
    inside = (self.row["root"], *filter(os.path.isabs, given), *CODE)
    if not os.path.abspath(path).startswith(inside):
      self.tried.append(f"reads {path}")


def command(watch, row, form):
  """Runs the command; returns the exit code, stdout and stderr."""
  words = [row["root"], "--require-signoff", f"--format={form}", *row["words"]]
  out = io.TextIOWrapper(io.BytesIO(), "utf-8")
  with (
    contextlib.redirect_stdout(out),
    contextlib.redirect_stderr(io.StringIO()) as err,
  ):
    watch.row = row
    try:
      code = validate_command.main(words)
    finally:
      watch.row = None
  return code, out.buffer.getvalue().decode(), err.getvalue()


def validated(watch, row):
  code, lines, err = command(watch, row, "text")
  _, document, _ = command(watch, row, "json")
  checks = json.loads(document)["checks"]
  red = [check["id"] for check in checks if check["status"] == "fail"]
  return {"code": code, "red": red, "lines": lines.splitlines(), "err": err}


def loaded(watch, row):
  """Loads the policy; a file is exchanged once it is verified."""
  from carnet import policy

  def exchange(path, *arguments):
    watch.row = None
    place = path / "stats.json"
    place.rename(path.parent / "kept")
    place.write_bytes((path.parent / "kept").read_bytes())
    watch.row = row

  policy.without_passport = exchange
  watch.row = row
  try:
    policy.load(pathlib.Path(row["root"]))
  except errors.UserError as error:  # as carnet.cli ends
    return {"code": 2, "red": [], "lines": [], "err": f"error: {error}\n"}
  finally:
    watch.row = None
  return {"code": 0, "red": [], "lines": [], "err": ""}


def main(heavy):
  validate.catalogue()  # imports numpy, which loads libraries
  watch = Watch()
  sys.addaudithook(watch)
  rows = [json.loads(line) for line in sys.stdin]
  if heavy:
    importlib.import_module("carnet.policy")
    validated(Watch(), rows[0])
  for row in rows:
    watch.tried = []
    told = (loaded if row["load"] else validated)(watch, row)
    print(json.dumps(told | {"tried": watch.tried}))
  unwanted = {"antigravity"}
  if not heavy:
    unwanted |= {"jax", "flax", "orbax", "tensorstore", "cryptography"}
  print(json.dumps({"imported": sorted(unwanted & set(sys.modules))}))


if __name__ == "__main__":
  main(sys.argv[1:] == ["heavy"])
