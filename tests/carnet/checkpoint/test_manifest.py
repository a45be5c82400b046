"""What a manifest takes: metrics, and nothing that could not be read again."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import manifest


@pytest.mark.parametrize(
  "value", [True, 3, 2.5, np.float32(2.0), np.int8(1), np.bool_(True)]
)
def test_numbers_are_metrics(value):
  expected = {"loss": float(value)}
  assert manifest.finite_metrics({"loss": value}) == expected
  assert manifest.finite_metrics({"loss": jnp.asarray(value)}) == expected


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("high", 10**400),
    ("text", "3.5"),
    ("text", b"3.5"),
    ("text", np.str_("3.5")),
    ("text", np.array("3.5")),
    ("none", None),
    ("several", np.zeros(2)),
    ("complex", 1j),
    (("a", "b"), 1.0),
    (3, 1.0),
    (None, 1.0),
    ("lone\ud800", 1.0),
    ("", 1.0),
  ],
)
def test_what_is_no_metric_is_refused_by_name(name, value):
  with pytest.raises(errors.UserError) as caught:
    manifest.finite_metrics({"sound": 1.0, name: value})
  assert repr(name) in str(caught.value)
  assert str(caught.value).encode()


def test_what_could_not_be_read_again_is_not_written(tmp_path):
  with checkpoint_lib.Checkpoint(tmp_path, verbose=False) as checkpoint:
    checkpoint.register("agent", {"w": np.zeros(3)})
    checkpoint.save(1)
  found = checkpoint_lib.read_manifest(tmp_path)
  assert manifest.decode(manifest.encode(found), "") == found
  for wrong in (
    {"metrics": {"\ud800": 1.0}},
    {"lineage": ({"path": "\ud800"},)},
    {"components": {"agent": "pickle"}},
  ):
    with pytest.raises(checkpoint_lib.SaveError, match="step 1 could not be"):
      manifest.encode(dataclasses.replace(found, **wrong))
