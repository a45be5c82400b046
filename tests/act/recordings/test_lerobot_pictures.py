"""Pictures that cannot be read are named when they are met."""

import io
import pathlib
import struct
import sys
import zlib

import numpy as np
import pytest
from pyarrow import parquet

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import make_lerobot
import spoilt_lerobot

from act.recordings import base, lerobot
from carnet import errors

FIRST = spoilt_lerobot.FIRST


def picture_with(data):
  """Returns a change of rows: the sixth picture becomes `data`."""

  def change(rows):
    rows[5]["observation.images.top"] = data

  return change


def bomb():
  """Returns a PNG that says it has 40000 x 40000 pixels."""
  header = struct.pack(">II5B", 40_000, 40_000, 8, 2, 0, 0, 0)
  chunks = [
    (b"IHDR", header),
    (b"IDAT", zlib.compress(bytes(100))),
    (b"IEND", b""),
  ]
  out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
  out.seek(0, 2)
  for kind, body in chunks:
    out.write(struct.pack(">I", len(body)) + kind + body)
    out.write(struct.pack(">I", zlib.crc32(kind + body)))
  return out.getvalue()


@pytest.mark.parametrize(
  ("data", "words"),
  [
    ({"bytes": b"nothing", "path": "x"}, "no readable picture"),
    ({"bytes": bomb(), "path": "x"}, "no readable picture"),
    ({"bytes": None, "path": "../../secret.png"}, "no such file"),
    ({"bytes": None, "path": "/etc/passwd"}, "a path elsewhere"),
    ({"bytes": None, "path": None}, "no picture"),
    (None, "no picture"),
  ],
)
def test_pictures_in_parquet_that_are_none(lerobot_copy, data, words):
  root = lerobot_copy("images")
  spoilt_lerobot.change_rows(root, picture_with(data), FIRST)
  found = lerobot.open(str(root), base.Options())
  images = found.open_images(tuple(found.cameras))
  assert (
    make_lerobot.number_in(
      images.read(np.array([4]))["observation.images.top"][0]
    )
    == 4
  )
  with pytest.raises(errors.UserError) as caught:
    images.read(np.array([3, 5]))
  message = str(caught.value)
  assert (
    f"{FIRST}: camera 'observation.images.top', episode 0, frame 5" in message
  )
  assert words in message
  assert "\n" not in message
  assert " 0x" not in message  # an address, which differs from run to run
  assert 'exclude_episodes="(0,)"' in message


def test_pictures_of_another_size(lerobot_copy):
  root = lerobot_copy("images")

  def change(info):
    info["features"]["observation.images.top"]["shape"] = [96, 64, 3]

  spoilt_lerobot.change_info(root, change)
  assert "a picture of 64x96, info.json says 96x64" in spoilt_lerobot.told(root)


def test_a_first_picture_that_is_none(lerobot_copy):
  root = lerobot_copy("images")

  def spoil(rows):
    rows[0]["observation.images.top"] = {"bytes": b"", "path": None}

  spoilt_lerobot.change_rows(root, spoil, FIRST)
  spoilt_lerobot.assert_episode(root, 0, FIRST, "frame 0: no readable picture")


def test_pictures_beside_the_parquet_files(lerobot_copy):
  root = lerobot_copy("images")
  rows = parquet.read_table(root / FIRST).to_pylist()
  data = rows[5]["observation.images.top"]["bytes"]
  (root / "images").mkdir()
  (root / "images/5.png").write_bytes(data)
  beside = picture_with({"bytes": None, "path": "images/5.png"})
  spoilt_lerobot.change_rows(root, beside, FIRST)
  found = lerobot.open(str(root), base.Options())
  (picture,) = found.open_images(tuple(found.cameras)).read(np.array([5]))[
    "observation.images.top"
  ]
  assert make_lerobot.number_in(picture) == 5
