"""A recording of somebody else as training sees it, and what is kept of it."""

import json

import hand_made
import numpy as np
import pytest

from act import dataset
from act.recordings import opening


@pytest.fixture
def opened(monkeypatch):
  hand_made.install(monkeypatch)
  return dataset.open(
    "lerobot:numbers",
    state="state",
    environment_state="environment_state",
    skip_bad=True,
  )


def test_features_and_batches(opened):
  assert opened.features.images == (
    ("top", (24, 32, 3)),
    ("left", (32, 24, 3)),
  )
  sizes = opened.features
  assert (sizes.state_size, sizes.environment_state_size) == (3, 2)
  batch = opened.batch(np.array([5, 6, 7]), 4)
  assert batch["images"]["left"][:, 0, 0, 0].tolist() == [5, 6, 7]
  assert batch["is_pad"].tolist() == [
    [False, False, True, True],
    [False, True, True, True],
    [False, False, False, False],
  ]
  np.testing.assert_array_equal(
    batch["actions"][0], opened.actions[[5, 6, 6, 6]]
  )
  np.testing.assert_array_equal(
    batch["environment_state"], opened.environment_state[[5, 6, 7]]
  )


def test_statistics_of_vectors_are_of_the_frames_in_use(opened):
  for name, values in (("state", opened.state), ("action", opened.actions)):
    block = opened.statistics[name]
    np.testing.assert_allclose(block["mean"], values.astype("f8").mean(0))
    np.testing.assert_allclose(block["std"], values.astype("f8").std(0))
  # of pictures, those that lie with the data; of 'left' there are none
  assert opened.statistics["images/top"] == {"mean": [0.5] * 3}
  assert "images/left" not in opened.statistics


def test_what_the_checkpoint_keeps(opened):
  kept = opened.metadata
  json.dumps(kept, allow_nan=False)
  assert kept["names"]["images/top"] == "observation.images.top"
  assert kept["control_hz"] == 10.0
  assert kept["dimensions"]["state"] == ["lift", "turn", "grip"]
  assert kept["skipped"] == [
    {"episode": 1, "reason": "file-000.parquet: NaN in the state"}
  ]
  assert kept["source"]["episodes"] == [0, 2, 3]
  assert kept["source"]["tasks"] == ["push", "lift"]
  assert opened.dimensions == ("lift", "turn", "grip")


@pytest.mark.parametrize(
  ("origin", "expected"),
  [
    ("lerobot:data/x", ("lerobot", "data/x")),
    ("rlds:/d", ("rlds", "/d")),
    ("data/x", ("", "data/x")),
    ("C:/data", ("", "C:/data")),
  ],
)
def test_an_origin_is_split(origin, expected):
  assert opening.split(origin) == expected


def test_formats_are_told_by_their_files(tmp_path):
  for name, kind in (
    ("a/meta/info.json", "lerobot"),
    ("b/episode_0.hdf5", "hdf5"),
    ("c/dataset_info.json", "rlds"),
    ("e/1.0.0/dataset_info.json", "rlds"),
    ("d/metadata.json", "carnet"),
    ("d/dataset_info.json", "carnet"),
  ):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    assert opening.detect(tmp_path / name.partition("/")[0]) == kind
  assert opening.present(str(tmp_path / "a"))
  assert opening.present("lerobot:user/name@main")
  assert not opening.present("")
  assert not opening.present(str(tmp_path / "gone"))
