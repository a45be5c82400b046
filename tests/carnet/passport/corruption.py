"""Damages every file of a checkpoint in every way, and mends it again."""

import contextlib
import functools
import importlib.metadata

from carnet.checkpoint import directory


def _flip(path, _):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def _truncate(path, _):
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])


def _remove(path, _):
  path.unlink()


def _rename(path, _):
  path.rename(path.with_name(f"{path.name}.moved"))


def _add(path, _):
  path.with_name(f"{path.name}.copy").write_bytes(path.read_bytes())


def _symlink(path, outside):
  path.rename(outside / path.name)
  path.symlink_to(outside / path.name)


DAMAGE = {
  "flip": _flip,
  "truncate": _truncate,
  "remove": _remove,
  "rename": _rename,
  "add": _add,
  "symlink": _symlink,
}


def families_looked_up_once(monkeypatch):
  """Asks the installed distributions for families once, not for each file."""
  find = functools.cache(importlib.metadata.entry_points)
  monkeypatch.setattr(importlib.metadata, "entry_points", find)


def table(step, outside, validate, names=None):
  """Returns (file, damage) of what was not found; prints what found each.

  Args:
    step: a signed step; it is left as it was.
    outside: a directory beside it, for what links lead to.
    validate: step -> names of the checks that are red.
    names: files to damage; all by default.
  """
  assert validate(step) == []
  names = sorted(directory.files(step)) if names is None else names
  counts, missed = dict.fromkeys(DAMAGE, 0), []
  for name in names:
    row = []
    for damage in DAMAGE:
      with _damaged(step / name, DAMAGE[damage], outside):
        red = validate(step)
      counts[damage] += bool(red)
      row.append(f"{damage}: {red[0] if red else '-'}")
      if not red:
        missed.append((name, damage))
    print(f"{name}\n  {'; '.join(row)}")
  print(", ".join(f"{d} {n}/{len(names)}" for d, n in counts.items()))
  total = len(names) * len(DAMAGE)
  print(f"{total - len(missed)} of {total} detected, {len(names)} files")
  assert validate(step) == []
  return missed


@contextlib.contextmanager
def _damaged(path, damage, outside):
  content = path.read_bytes()
  damage(path, outside)
  try:
    yield
  finally:
    for name in (path.name, f"{path.name}.moved", f"{path.name}.copy"):
      path.with_name(name).unlink(missing_ok=True)
    path.write_bytes(content)
