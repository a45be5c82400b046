"""Switches a deployment again and again, stopped at each step that writes.

    python sabotage.py KILL_OR_FULL ACTION CHECKPOINT RESULTS DEPLOYMENT SCRATCH

ACTION is "promote", or the name of a checkpoint to roll back to. At the first
step, then at the second, ..., a child process is killed, or finds the disk full
from there on. Prints what each left, and what the same command then did, as one
JSON list. No JAX is loaded, so that forking is safe.
"""

import errno
import json
import os
import pathlib
import shutil
import signal
import sys

from carnet import errors
from carnet.lifecycle import promotion, rolling_back, status
from carnet.passport.checks import catalogue, files, signoff

_NEEDS_SPACE = {"mkdir", "symlink", "write", "create", "copy"}
_REAL = {
  name: getattr(os, name)
  for name in (
    *("open", "write", "fsync", "mkdir", "symlink", "rename", "unlink"),
    *("ftruncate",),
  )
}
# the others need a whole checkpoint; these read all files of a small one
_SMALL = ("weight_sizes", "weight_hashes", "unlisted_files", "no_symlinks")
catalogue.CHECKS = (
  *(check for check in files.CHECKS if check.id in _SMALL),
  *signoff.CHECKS,
)


class Saboteur:
  """Counts the steps that write, and stops at one."""

  def __init__(self, how, at):
    self.how, self.left = how, at

  def step(self, name):
    self.left -= 1
    if self.how == "kill" and self.left == 0:
      os.kill(os.getpid(), signal.SIGKILL)
    if self.how == "full" and self.left <= 0 and name in _NEEDS_SPACE:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  def install(self):
    for name in ("fsync", "mkdir", "symlink", "rename", "unlink", "ftruncate"):
      setattr(os, name, self.wrapped(name))
    os.open, os.write, shutil.copyfileobj = self.open, self.write, self.copy

  def wrapped(self, name):
    def call(*arguments, **options):
      self.step(name)
      return _REAL[name](*arguments, **options)

    return call

  def open(self, path, flags, *rest, **options):
    if flags & os.O_CREAT:
      self.step("create")
    return _REAL["open"](path, flags, *rest, **options)

  def write(self, descriptor, content):
    self.step("write")
    half = len(content) // 2 if len(content) > 100 else len(content)
    return _REAL["write"](descriptor, content[:half])

  def copy(self, source, target, length=0):
    content = source.read()
    for part in (content[: len(content) // 2], content[len(content) // 2 :]):
      self.step("copy")
      target.write(part)
      target.flush()


def act(action, checkpoint, results, deployment):
  """Promotes, or rolls back; returns the message of a refusal."""
  request = promotion.Request("why not", "tester", results=results)
  try:
    if action == "promote":
      promotion.promote(checkpoint, deployment, request)
    else:
      rolling_back.rollback(deployment, request, action)
  except errors.UserError as error:
    return str(error)
  return ""


def look(deployment):
  """Returns what a start script would see, and what lies about."""
  found = {
    "names": sorted(
      str(path.relative_to(deployment))
      for pattern in ("*", "checkpoints/*")
      for path in deployment.glob(pattern)
    )
  }
  history = deployment / "history.jsonl"
  found["lines"] = history.read_bytes().count(b"\n") if history.exists() else 0
  try:
    seen = status.status(deployment)
  except errors.UserError as error:
    return found | {"current": None, "fault": str(error), "notes": []}
  return found | {"current": seen.path.name, "fault": "", "notes": seen.notes}


def stopped(how, at, action, *places):
  """Returns whether a child was stopped at that step, and what it said."""
  read, write = os.pipe()
  child = os.fork()
  if child == 0:
    Saboteur(how, at).install()
    message = act(action, *places)
    _REAL["write"](write, message.encode())
    os._exit(1 if message else 0)
  os.close(write)
  with open(read) as file:
    message = file.read()
  code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
  return code, message


def main(how, action, checkpoint, results, deployment, scratch):
  places = pathlib.Path(checkpoint), pathlib.Path(results)
  rows = []
  for at in range(1, 1000):
    place = pathlib.Path(scratch, str(at))
    if pathlib.Path(deployment).exists():
      shutil.copytree(deployment, place, symlinks=True)
    code, message = stopped(how, at, action, *places, place)
    if code == 0:
      break
    row = {"code": code, "message": message}
    row["left"] = look(place) if place.exists() else None
    row["again"] = act(action, *places, place)
    row["then"] = look(place)
    rows.append(row)
    shutil.rmtree(place)
  print(json.dumps(rows))


if __name__ == "__main__":
  main(*sys.argv[1:])
