"""Arrays of other programs are read wherever their items lie."""

import numpy as np
import orbax.checkpoint as ocp
import pytest

from carnet import errors
from carnet.checkpoint import digest
from carnet.passport import context, recomputed
from carnet.passport.dynamic import plain
from carnet.passport.static import files

TREE = {"kernel": np.arange(6.0, dtype=np.float32).reshape(3, 2)}
SHA256 = digest.leaf(TREE["kernel"])


def _save(place, **options):
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**options)) as saver:
    saver.save(place, TREE)


@pytest.mark.parametrize(
  ("places", "item"),
  [
    ([""], "."),
    (["params"], "params"),
    (["7/default"], "7/default"),
    (["params", "ema"], "."),
  ],
)
def test_every_item_is_found(tmp_path, places, item):
  for place in places:
    _save(tmp_path / "ck" / place)
  found = context.Context(tmp_path / "ck")
  told = files.checkpoint_format(found, ".*")
  assert (told.item, told.use_ocdbt, told.use_zarr3) == (item, True, False)
  read = recomputed.read(found)
  assert {path: array.sha256 for path, array in read.items()} == {
    f"{place}/kernel".lstrip("/"): SHA256 for place in places
  }
  for place in places:  # as a program names them
    (name,) = plain._leaves(TREE, place)
    assert name in read


def test_the_layout_is_the_one_that_is_there(tmp_path):
  _save(tmp_path / "ck/params", use_zarr3=True)
  told = files.checkpoint_format(context.Context(tmp_path / "ck"), ".*")
  assert told.use_zarr3


def test_a_directory_without_items_is_one_line(tmp_path):
  found = context.Context(tmp_path)
  with pytest.raises(
    errors.UserError, match="has no checkpoint of Orbax in it"
  ):
    recomputed.read(found)
  assert files.checkpoint_format(found, ".*").item == "."
