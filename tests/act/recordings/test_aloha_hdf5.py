"""Episodes of the original ACT, sound and unsound."""

import io
import pickle
import threading

import h5py
import numpy as np
import pytest
from PIL import Image

from act.recordings import base, opening
from carnet import errors

CAMERAS = ("left_wrist", "top")
SHAPE = (12, 16, 3)


def smooth(length, seed):
  """Returns pictures that JPEG hardly changes: red from left, blue below."""
  pictures = np.zeros((length, *SHAPE), np.uint8)
  pictures[..., 0] = np.linspace(20, 230, SHAPE[1]).astype(np.uint8)
  pictures[..., 2] = np.linspace(0, 90, SHAPE[0]).astype(np.uint8)[:, None]
  pictures[..., 1] = (np.arange(length) * 7 + seed).astype(np.uint8)[
    :, None, None
  ]
  return pictures


def jpegs(pictures):
  """Returns rows as aloha's record_episodes.py writes them, through cv2."""
  rows = []
  for picture in pictures:
    buffer = io.BytesIO()
    swapped = Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1]))
    swapped.save(buffer, "JPEG", quality=95, subsampling=0)
    rows.append(buffer.getvalue())
  longest = max(map(len, rows))
  padded = [np.frombuffer(row.ljust(longest, b"\0"), np.uint8) for row in rows]
  return np.stack(padded)


def write(path, length=5, seed=0, compress=False, size=14, attrs=()):
  rng = np.random.default_rng(seed)
  with h5py.File(path, "w") as file:
    file.attrs["sim"] = True
    for name, value in dict(attrs).items():
      file.attrs[name] = value
    for name in ("observations/qpos", "observations/qvel", "action"):
      file[name] = rng.normal(size=(length, size))
    for index, camera in enumerate(CAMERAS):
      pictures = smooth(length, seed + 50 * index)
      stored = jpegs(pictures) if compress else pictures
      chunks = (1, *stored.shape[1:])
      name = f"observations/images/{camera}"
      file.create_dataset(name, data=stored, chunks=chunks)
    if compress:
      file["compress_len"] = np.zeros((len(CAMERAS), length), np.float32)


@pytest.fixture
def root(tmp_path):
  path = tmp_path / "transfer_cube"
  path.mkdir()
  for number, length in ((10, 4), (2, 5), (0, 6)):
    write(path / f"episode_{number}.hdf5", length, number)
  return path


def test_reads_numbers_and_pictures_in_the_order_of_the_episodes(root):
  found = opening.open(f"hdf5:{root}")
  assert found.identity == "transfer_cube"
  assert found.episodes.tolist() == [0, 2, 10]
  assert found.lengths.tolist() == [6, 5, 4]
  assert (found.fps, found.tasks) == (50.0, ("",) * 3)
  assert "DT" in found.details["fps"]
  assert list(found.vectors) == ["qpos", "qvel", "action"]
  assert found.vectors["action"].names[7] == "right_waist"
  assert dict(found.cameras) == dict.fromkeys(CAMERAS, base.Camera(12, 16))
  images = found.open_images(CAMERAS)
  read = images.read(np.array([12, 0, 7]))
  for row, (number, frame) in enumerate([(10, 1), (0, 0), (2, 1)]):
    with h5py.File(root / f"episode_{number}.hdf5") as file:
      for camera in CAMERAS:
        stored = file[f"observations/images/{camera}"][frame]
        np.testing.assert_array_equal(read[camera][row], stored)
      np.testing.assert_array_equal(
        found.vectors["qpos"].values[[12, 0, 7][row]],
        file["observations/qpos"][frame].astype(np.float32),
      )


def test_one_file_is_a_recording_too_and_found_by_its_name(root):
  found = opening.open(str(root / "episode_2.hdf5"))
  assert found.episodes.tolist() == [2]
  assert found.identity == "episode_2.hdf5"


def test_compressed_pictures_come_back_as_they_went_to_cv2(tmp_path):
  write(tmp_path / "episode_0.hdf5", compress=True)
  found = opening.open(f"hdf5:{tmp_path}")
  assert found.details["encoding"] == dict.fromkeys(CAMERAS, "jpeg")
  read = found.open_images(("top",)).read(np.arange(5))["top"]
  difference = read.astype(int) - smooth(5, 50).astype(int)
  assert np.abs(difference).max() < 12  # red and blue swapped: 230


def test_rate_of_the_attribute_and_first_episodes(root):
  for path in root.iterdir():
    with h5py.File(path, "a") as file:
      file.attrs["fps"] = 30
  found = opening.open(f"hdf5:{root}", base.Options(episodes=2))
  assert (found.fps, found.episodes.tolist()) == (30.0, [0, 2])
  with pytest.raises(errors.UserError, match=r"episodes=4.* holds 3"):
    opening.open(f"hdf5:{root}", base.Options(episodes=4))


def test_reader_is_picklable_and_thread_safe(root):
  found = opening.open(f"hdf5:{root}")
  reader = found.open_images(CAMERAS)
  expected = reader.read(np.arange(15))
  copy = pickle.loads(pickle.dumps(reader))
  faults = []

  def work():
    for _ in range(5):
      got = copy.read(np.arange(15))
      same = [np.array_equal(got[x], expected[x]) for x in CAMERAS]
      faults.extend([] if all(same) else ["differs"])

  threads = [threading.Thread(target=work) for _ in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not faults


def test_revision_is_of_the_content(root):
  first = opening.open(f"hdf5:{root}").revision
  assert opening.open(f"hdf5:{root}").revision == first
  with h5py.File(root / "episode_2.hdf5", "a") as file:
    file["action"][3, 3] += 1
  second = opening.open(f"hdf5:{root}").revision
  with h5py.File(root / "episode_2.hdf5", "a") as file:
    file["observations/images/top"][4, 0, 0, 0] ^= 1
  assert len({first, second, opening.open(f"hdf5:{root}").revision}) == 3


def truncate(path):
  path.write_bytes(path.read_bytes()[:-2000])


def replace(name, **how):
  def change(path):
    with h5py.File(path, "a") as file:
      del file[name]
      if "data" in how:
        file[name] = how["data"]
      elif "link" in how:
        file[name] = how["link"]
      elif "shape" in how:
        file.create_dataset(name, how["shape"], "u1", chunks=(1, 64, 64, 3))
      elif "external" in how:
        shape = (5, 14)
        file.create_dataset(
          name, shape, "f4", external=[("/etc/passwd", 0, 280)]
        )
      elif "virtual" in how:
        layout = h5py.VirtualLayout((5, 14), "f4")
        layout[:] = h5py.VirtualSource("/tmp/x.h5", "action", (5, 14))
        file.create_virtual_dataset(name, layout)

  return change


def nan(path):
  with h5py.File(path, "a") as file:
    file["action"][3, 2] = np.nan


def link_away(path):
  outside = path.parent.parent / "outside.hdf5"
  path.rename(outside)
  path.symlink_to(outside)


TOP = "observations/images/top"
UNSOUND = {
  "truncated": (truncate, "unreadable .*truncated"),
  "text": (lambda path: path.write_text("no HDF5"), "unreadable"),
  "no action": (replace("action"), "there is no /action"),
  "shorter": (
    replace("action", data=np.zeros((4, 14))),
    "/action has 4 frames, qpos has 5",
  ),
  "width": (
    replace("action", data=np.zeros((5, 7))),
    "vector 'action' is 7, elsewhere 14",
  ),
  "objects": (replace("action", data=["a"] * 5), "not numbers"),
  "nan": (nan, "/action is nan in frame 3, dimension 2"),
  "camera": (replace(TOP), "no camera 'top', which other episodes have"),
  "pictures": (
    replace(TOP, data=np.zeros((4, *SHAPE), np.uint8)),
    r"camera 'top' has shape \(4",
  ),
  "corrupt": (
    replace(TOP, data=np.zeros((5, 99), np.uint8)),
    "corrupt JPEG",
  ),
  "other size": (
    replace(TOP, data=np.zeros((5, 9, 9, 3), np.uint8)),
    "camera 'top' is 9x9, elsewhere 12x16",
  ),
  "huge": (replace(TOP, shape=(5, 2**15, 2**15, 3)), "too large"),
  "soft": (replace("action", link=h5py.SoftLink("/x")), "is a link"),
  "out": (
    replace("action", link=h5py.ExternalLink("/etc/x.h5", "/a")),
    "is a link",
  ),
  "external": (replace("action", external=True), "outside of the file"),
  "virtual": (replace("action", virtual=True), "put together from others"),
  "symlink": (link_away, "a link out of the directory"),
  "one frame": (lambda path: write(path, 1), "an episode of 1 frames"),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_unsound_episodes_are_refused_or_skipped(root, name):
  change, message = UNSOUND[name]
  change(root / "episode_2.hdf5")
  pattern = rf"episode_2.hdf5 \(episode 2\): .*{message}"
  with pytest.raises(errors.UserError, match=pattern) as caught:
    opening.open(f"hdf5:{root}")
  assert "\n" not in str(caught.value)
  found = opening.open(f"hdf5:{root}", base.Options(skip_bad=True))
  assert found.episodes.tolist() == [0, 10]
  assert found.num_frames == len(found.vectors["action"].values) == 10
  assert [x.episode for x in found.skipped] == [2]
  found.open_images(CAMERAS).read(np.arange(10))


def test_only_cameras_in_use_must_be_there(root):
  with h5py.File(root / "episode_2.hdf5", "a") as file:
    del file[TOP]
  options = base.Options(cameras=("left_wrist", "observation.left_wrist"))
  found = opening.open(f"hdf5:{root}", options)
  assert found.num_frames == 15
  assert list(found.cameras) == list(CAMERAS)  # one of which some lack
  skipping = base.Options(skip_bad=True)
  whole = opening.open(f"hdf5:{root}", skipping)
  assert whole.episodes.tolist() == [0, 10]
  skipping = base.Options(cameras=("top",), skip_bad=True)
  assert opening.open(f"hdf5:{root}", skipping).revision == whole.revision
  with pytest.raises(errors.UserError, match="'tpo'"):
    found.open_images(("tpo",))


def test_a_file_that_breaks_later_names_frame_and_episode(root):
  found = opening.open(f"hdf5:{root}")
  truncate(root / "episode_2.hdf5")
  with pytest.raises(errors.UserError, match=r"\(episode 2\): camera 'top', f"):
    found.open_images(("top",)).read(np.array([7]))


def test_nothing_there(tmp_path):
  with pytest.raises(errors.UserError, match="no such file"):
    opening.open(f"hdf5:{tmp_path / 'x'}")
  with pytest.raises(errors.UserError, match="no episode_N"):
    opening.open(f"hdf5:{tmp_path}")
  (tmp_path / "episode_0.hdf5").write_text("x")
  with pytest.raises(errors.UserError, match="no episode is sound"):
    opening.open(f"hdf5:{tmp_path}", base.Options(skip_bad=True))


def test_a_name_without_a_number_is_said_to_have_none(tmp_path):
  write(tmp_path / "a.hdf5")
  write(tmp_path / "episode_x.hdf5", length=1)
  with pytest.raises(errors.UserError) as caught:
    opening.open(f"hdf5:{tmp_path}")
  assert "episode_x.hdf5 (its name has no number of its own: it counts as " in (
    str(caught.value)
  )
  assert "episode 1)" in str(caught.value)
  assert "--skip-bad-episodes" in str(caught.value)


def test_a_picture_that_is_none_names_the_episode_to_leave_out(tmp_path):
  path = tmp_path / "episode_3.hdf5"
  write(path, compress=True)
  data = opening.open(f"hdf5:{path}")
  with h5py.File(path, "r+") as file:
    file["observations/images/top"][2] = 7
  with pytest.raises(errors.UserError) as caught:
    data.open_images(("top",)).read(np.array([2]))
  assert "0x" not in str(caught.value)
  assert 'exclude_episodes="(3,)"' in str(caught.value)
