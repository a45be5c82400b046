"""What scripts/collect_demos.py wrote, as a Recording."""

import dataclasses
import json
import pickle
import re
import shutil

import fake_recording
import fake_simulator
import numpy as np
import pytest

from act import example, storage
from act.recordings import base, caching, opening, own
from carnet import errors

STEPS = fake_simulator.STEPS


def test_a_recording_of_ours(tiny_dataset):
  data = opening.open(str(tiny_dataset))
  metadata = storage.read_metadata(tiny_dataset)
  assert (data.origin, data.path) == (str(tiny_dataset), tiny_dataset)
  assert (data.identity, data.fps) == ("fake/numbers", 50.0)
  assert data.cameras == {
    "top": base.Camera(32, 32),
    "wrist": base.Camera(32, 32),
  }
  assert data.lengths.tolist() == [STEPS] * 6
  assert data.episodes.tolist() == list(range(6))
  assert data.tasks == ("fake/numbers",) * 6
  assert data.details == metadata
  stored = metadata["statistics"]
  assert data.statistics["wrist"] == stored["images/wrist"]
  assert data.statistics["action"] == stored["action"]
  assert list(data.vectors) == ["action", "qpos", "qvel"]
  frame = 3 * STEPS + 7  # 1003 was rejected
  expected = fake_simulator.qpos(1004, 7)
  np.testing.assert_array_equal(data.vectors["qpos"].values[frame], expected)
  images = pickle.loads(pickle.dumps(data.open_images(("wrist",))))
  np.testing.assert_array_equal(
    images.read(np.array([frame]))["wrist"][0],
    fake_simulator.image(1004, 7, "wrist", 32, 32),
  )


def test_the_first_episodes_and_some_cameras(tiny_dataset):
  data = opening.open(
    str(tiny_dataset), base.Options(cameras=("wrist",), episodes=2)
  )
  assert data.num_frames == 2 * STEPS
  assert len(data.vectors["action"].values) == 2 * STEPS
  assert list(data.cameras) == ["top", "wrist"]


def test_what_is_not_there(tiny_dataset):
  # what it may be called, not what must be there
  opening.open(str(tiny_dataset), base.Options(cameras=("topp",)))
  with pytest.raises(errors.UserError, match=r"camera .*'topp'.*'top'"):
    opening.open(str(tiny_dataset)).open_images(("topp",))
  with pytest.raises(errors.UserError, match=r"episodes=7, but '.*' holds 6"):
    opening.open(str(tiny_dataset), base.Options(episodes=7))


@pytest.fixture
def replica(tiny_dataset, tmp_path):
  """Returns a copy that a test may damage."""
  root = tmp_path / "data"
  shutil.copytree(tiny_dataset, root)
  return root


def change(root, **changes):
  path = root / storage.METADATA_FILE
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def spoil_shard(root):
  shard = root / storage.shard_name("fake/numbers", 2, 6)
  shard.write_bytes(shard.read_bytes()[:-10])


def lose_shard(root):
  (root / storage.shard_name("fake/numbers", 2, 6)).unlink()


def link_shard(root):
  shard = root / storage.shard_name("fake/numbers", 2, 6)
  shard.rename(root.parent / "elsewhere")
  shard.symlink_to(root.parent / "elsewhere")


def spoil_number(root):
  path = root / storage.LOW_DIMENSIONAL_FILE
  arrays = storage.read_arrays(path)
  arrays["qpos"][2 * STEPS + 3, 5] = np.nan
  storage.write_arrays(path, arrays)
  change(root, files=files(root) | {path.name: storage.digest(path)})


def files(root):
  return storage.read_unchecked(root)["files"]


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (spoil_shard, r"00002-of-00006: \d+ bytes where \d+ were written"),
    (lose_shard, "00002-of-00006: missing"),
    (link_shard, "00002-of-00006: leads out of the directory"),
    (spoil_number, "'qpos' of episode 2 holds NaN"),
  ],
)
def test_an_unsound_episode(replica, damage, message):
  damage(replica)
  with pytest.raises(errors.UserError, match=message):
    opening.open(str(replica))
  data = opening.open(str(replica), base.Options(skip_bad=True))
  assert data.episodes.tolist() == [0, 1, 3, 4, 5]
  ((episode, reason),) = [(x.episode, x.reason) for x in data.skipped]
  assert episode == 2
  assert re.search(message, reason)
  # seeds 1000, 1001, 1002, 1004: the third episode is now that of 1004
  np.testing.assert_array_equal(
    data.vectors["qpos"].values[2 * STEPS + 7], fake_simulator.qpos(1004, 7)
  )
  np.testing.assert_array_equal(
    data.open_images(("top",)).read(np.array([2 * STEPS + 7]))["top"][0],
    fake_simulator.image(1004, 7, "top", 32, 32),
  )


def test_an_episode_of_one_frame(monkeypatch, tmp_path):
  source = fake_recording.make(tmp_path / "s")
  lengths = np.array([12, 1, 7])
  short = dataclasses.replace(source, lengths=lengths)
  fake_recording.install(monkeypatch, short)
  root = caching.cache("fake", tmp_path / "c", caching.Asked(workers=1))
  with pytest.raises(errors.UserError, match="episode 4 has one frame"):
    opening.open(str(root))
  data = opening.open(str(root), base.Options(skip_bad=True))
  assert data.episodes.tolist() == [3, 9]
  assert [x.episode for x in data.skipped] == [4, 5]


def test_metadata_that_leads_elsewhere(replica):
  change(replica, files=files(replica) | {"../../etc/passwd": {"bytes": 1}})
  with pytest.raises(errors.UserError, match="is no name of a file"):
    opening.open(str(replica), base.Options(skip_bad=True))


def test_metadata_of_absurd_size(replica, monkeypatch):
  monkeypatch.setattr(storage, "_MOST_JSON_BYTES", 1000)
  with pytest.raises(errors.UserError, match=r"metadata\.json: unreadable"):
    opening.open(str(replica))


def test_no_path(monkeypatch, tmp_path):
  with pytest.raises(errors.UserError, match=r"config\.dataset\.path is empty"):
    own.open("", base.Options())


def test_damaged_metadata_of_a_cache(monkeypatch, tmp_path):
  fake_recording.install(monkeypatch, fake_recording.make(tmp_path / "s"))
  root = caching.cache("fake", tmp_path / "c", caching.Asked(workers=1))
  metadata = storage.read_metadata(root)
  for name in ("order", "source", "dimensions", "episodes", "sizes", "task"):
    text = json.dumps({k: v for k, v in metadata.items() if k != name})
    (root / storage.METADATA_FILE).write_text(text)
    with pytest.raises(errors.UserError, match=r"metadata\.json: damaged"):
      opening.open(str(root))


def test_the_first_episodes_of_a_cache_are_those_of_its_source(
  monkeypatch, tmp_path
):
  source = fake_recording.make(tmp_path / "s")  # 3, 4, 9; 5 was left out
  with monkeypatch.context() as patch:
    fake_recording.install(patch, source)
    root = caching.cache("fake", tmp_path / "c", caching.Asked(workers=1))

  def first(count):
    data = opening.open(str(root), base.Options(episodes=count))
    return data.episodes.tolist(), [x.episode for x in data.skipped]

  assert first(2) == ([3, 4], [])
  assert first(3) == ([3, 4], [5])
  assert first(4) == first(0) == ([3, 4, 9], [5])
  with pytest.raises(errors.UserError, match=r"episodes=5, but .* holds 4"):
    first(5)


def test_a_picture_that_is_none_names_the_episode_to_leave_out(
  monkeypatch, tmp_path
):
  with monkeypatch.context() as patch:
    fake_recording.install(patch, fake_recording.make(tmp_path / "s"))
    root = caching.cache("fake", tmp_path / "c", caching.Asked(workers=1))
  top = "observation.images.top"
  data = opening.open(str(root))
  images = data.open_images((top,))
  monkeypatch.setattr(example, "find", lambda record, name: b"no JPEG")
  told = []
  for _ in range(2):
    with pytest.raises(errors.UserError) as caught:
      images.read(data.first_frames[1:2])
    told.append(str(caught.value))
  assert told[0] == told[1]
  assert "0x" not in told[0]
  assert 'exclude_episodes="(4,)"' in told[0]
