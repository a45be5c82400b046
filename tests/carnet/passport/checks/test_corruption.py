"""Every file of a signed checkpoint, damaged in every way: all is found.

Run with `-s` to see the table. Without a key the sign-off's own prose is
covered by nothing, and a flip there is not found; with one it is.
"""

import functools

import checking
import corruption
import oms_sample
import pytest

from carnet.checkpoint import directory
from carnet.passport import context, oms

KEY = oms_sample.private()


@pytest.fixture(autouse=True)
def families_looked_up_once(monkeypatch):
  corruption.families_looked_up_once(monkeypatch)


@pytest.fixture
def outside(tmp_path):
  place = tmp_path / "outside"
  place.mkdir()
  return place


def test_every_damage_to_every_file_is_found(step, outside):
  names = directory.files(step)
  assert len(names) == sum(path.is_file() for path in step.rglob("*"))
  # what is flipped in the middle of the sign-off is a digest: of its prose,
  # which only a key covers, nothing could tell
  red = functools.partial(checking.red, require_signoff=True)
  assert corruption.table(step, outside, red) == []


def test_with_a_key_the_signoff_itself_is_covered(step, outside, tmp_path):
  (step / directory.SIGNATURE).write_bytes(oms.sign(step, KEY))
  public = tmp_path / "key.pub"
  public.write_bytes(oms.public_key(KEY))
  red = functools.partial(checking.red, require_signoff=True, public_key=public)
  names = (*context.PAPERS, "config.json")
  assert corruption.table(step, outside, red, names) == []
