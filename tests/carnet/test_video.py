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
