"""Every file of a signed checkpoint, damaged in every way: all is found.

Run with `-s` to see the table. Without a key the sign-off's own prose is
covered by nothing, and a flip there is not found; with one it is.
"""

import functools
import importlib.metadata
import shutil

import checking
import oms_sample
import pytest
import sample

from carnet.checkpoint import directory
from carnet.passport import context, oms

KEY = oms_sample.private()


@pytest.fixture(autouse=True)
def families_looked_up_once(monkeypatch):
  find = functools.cache(importlib.metadata.entry_points)
  monkeypatch.setattr(importlib.metadata, "entry_points", find)


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


def _found(original, place, damage, name, options):
  """Returns which checks turn red when a file is damaged."""
  step = sample.copy(original, place)
  outside = place / "outside"
  outside.mkdir()
  DAMAGE[damage](step / name, outside)
  red = checking.red(step, require_signoff=True, **options)
  shutil.rmtree(place)
  return red


def _table(original, tmp_path, names, options):
  """Returns damage -> how often found, and what was not; prints it all."""
  counts, missed = dict.fromkeys(DAMAGE, 0), []
  for number, name in enumerate(names):
    row = []
    for damage in DAMAGE:
      place = tmp_path / f"{number}_{damage.replace(' ', '_')}"
      red = _found(original, place, damage, name, options)
      counts[damage] += bool(red)
      row.append(f"{damage}: {red[0] if red else '-'}")
      if not red:
        missed.append((name, damage))
    print(f"{name}\n  {'; '.join(row)}")
  print(", ".join(f"{d} {n}/{len(names)}" for d, n in counts.items()))
  return missed


def test_every_damage_to_every_file_is_found(original, tmp_path):
  names = sorted(directory.files(original))
  assert len(names) == sum(path.is_file() for path in original.rglob("*"))
  assert checking.red(original, require_signoff=True) == []
  # what is flipped in the middle of the sign-off is a digest: of its prose,
  # which only a key covers, nothing could tell
  assert _table(original, tmp_path, names, {}) == []


def test_with_a_key_the_signoff_itself_is_covered(original, tmp_path):
  signed = sample.copy(original, tmp_path / "signed")
  (signed / directory.SIGNATURE).write_bytes(oms.sign(signed, KEY))
  public = tmp_path / "key.pub"
  public.write_bytes(oms.public_key(KEY))
  options = {"public_key": public}
  assert checking.red(signed, require_signoff=True, **options) == []
  names = (*context.PAPERS, "config.json")
  assert _table(signed, tmp_path, names, options) == []
