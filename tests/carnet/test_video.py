"""Films are whole, and of even size."""

import av
import numpy as np
import pytest

from carnet import video


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 48), (32, 49)])
def test_an_odd_row_or_column_is_cut(tmp_path, height, width):
  picture = np.zeros((height, width, 3), np.uint8)
  picture[:16] = 255
  path = tmp_path / "film.mp4"
  video.write(path, [picture] * 3, 10)
  with av.open(str(path)) as film:
    frames = [x.to_ndarray(format="rgb24") for x in film.decode(video=0)]
  assert [x.shape for x in frames] == [(32, 48, 3)] * 3
  assert frames[0][:14].mean() > 240
  assert frames[0][18:].mean() < 15
  assert list(tmp_path.iterdir()) == [path]


def test_small_frames_are_enlarged_by_whole_pixels():
  frames = np.arange(12, dtype=np.uint8).reshape((1, 2, 2, 3))
  larger = video.enlarged(frames, 5)
  assert larger.shape == (1, 6, 6, 3)
  np.testing.assert_array_equal(larger[:, ::3, ::3], frames)
  np.testing.assert_array_equal(larger[:, 2::3, 2::3], frames)
  np.testing.assert_array_equal(video.enlarged(frames, 1), frames)
