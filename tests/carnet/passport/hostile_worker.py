"""Validates the checkpoints named on the command line, under an audit hook.

Prints a JSON line for each: what was red, and what it tried that no reader of
a checkpoint may do. Started by `checks/test_hostile.py`.
"""

import json
import os
import pathlib
import sys

from carnet.passport import context, outcome, validate

FORBIDDEN = (
  *("os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork"),
  *("os.forkpty", "subprocess.Popen", "pty.spawn", "pickle.find_class"),
  *("socket.connect", "socket.bind", "socket.getaddrinfo", "ctypes.dlopen"),
  *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink"),
  *("os.chmod", "os.truncate", "shutil.rmtree", "urllib.Request"),
)
OWN = (
  *("carnet", "act", "dreamer"),
  *("numpy", "pydantic", "pydantic_core", "PIL"),
)
CODE = tuple(os.path.realpath(x) for x in sys.path if x)


class Watch:
  """Collects what was tried; `root` is the checkpoint that may be read."""

  def __init__(self):
    self.root = None
    self.tried = []

  def __call__(self, event, values):
    if self.root is None:
      return
    if event in FORBIDDEN:
      self.tried.append(f"{event} {values!r:.200}")
      raise PermissionError(event)
    if event == "import":
      name = values[0].partition(".")[0]
      if name not in sys.stdlib_module_names and name not in OWN:
        self.tried.append(f"import {values[0]}")
    if event == "open" and isinstance(values[0], str | bytes | os.PathLike):
      self._opened(os.fsdecode(values[0]), values[2])

  def _opened(self, path, flags):
    if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
      self.tried.append(f"writes {path}")
    # names without a slash are opened below a descriptor of the checkpoint
    inside = (self.root, os.path.realpath(self.root), *CODE)
    if os.path.isabs(path) and not path.startswith(inside):
      self.tried.append(f"reads {path}")


def main(directories):
  validate.catalogue()  # imports numpy, which loads libraries
  watch = Watch()
  sys.addaudithook(watch)
  for name in directories:
    watch.tried = []
    watch.root = name
    try:
      report = validate.validate(
        pathlib.Path(name), context.Options(require_signoff=True)
      )
      red = report.named(outcome.Status.FAIL)
      lines = [r.finding.evidence for r in report.results]
    finally:
      watch.root = None
    print(json.dumps({"red": red, "lines": lines, "tried": watch.tried}))
  unwanted = {"jax", "flax", "orbax", "tensorstore", "antigravity"}
  print(json.dumps({"imported": sorted(unwanted & set(sys.modules))}))


if __name__ == "__main__":
  main(sys.argv[1:])
