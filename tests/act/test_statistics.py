"""Statistics against numpy on the same values."""

import numpy as np
import pytest

from act import statistics
from carnet import errors


def test_vectors_by_hand():
  block = statistics.of_vectors(
    np.array([[0.0, 5.0], [1.0, 5.0], [5.0, 5.0]], np.float32)
  )
  assert block["mean"] == [2.0, 5.0]
  # deviations -2, -1, 3: variance 14 / 3
  np.testing.assert_allclose(block["std"], [np.sqrt(14 / 3), 0.0])
  assert block["min"] == [0.0, 5.0]
  assert block["max"] == [5.0, 5.0]
  # rank 0.1 * 2 = 0.2 between 0 and 1; rank 1.8 between 1 and 5
  np.testing.assert_allclose(block["q10"], [0.2, 5.0])
  np.testing.assert_allclose(block["q90"], [1.0 + 0.8 * 4.0, 5.0])


def test_counts_of_several_images_equal_numpy_on_all_pixels():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 40, (3, 6, 7, 3)).astype(np.uint8)
  counts = np.sum([statistics.count(image) for image in images], axis=0)
  block = statistics.of_counts(counts)
  pixels = images.reshape(-1, 3) / 255.0
  np.testing.assert_allclose(block["mean"], pixels.mean(0), rtol=1e-12)
  np.testing.assert_allclose(block["std"], pixels.std(0), rtol=1e-12)
  np.testing.assert_allclose(block["min"], pixels.min(0))
  np.testing.assert_allclose(block["max"], pixels.max(0))
  for name, quantile in statistics.QUANTILES.items():
    np.testing.assert_allclose(
      block[name], np.quantile(pixels, quantile, axis=0), rtol=1e-12
    )


def test_large_frames_are_thinned():
  image = np.zeros((480, 640, 3), np.uint8)
  assert statistics.count(image).sum() == 3 * 96 * 128  # every fifth


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"mean": [0.0, float("nan")]}, "'mean' that is not finite"),
    ({"std": [0.0, float("inf")]}, "'std' that is not finite"),
    ({"q01": ["a", 0.0]}, "'q01' that is not finite"),
    ({"max": [0.0]}, "lack 2 values of 'max'"),
    ({"min": None}, "lack 2 values of 'min'"),
  ],
)
def test_check_names_what_is_wrong(change, message):
  block = {key: [0.0, 1.0] for key in statistics.NAMES}
  statistics.check("qpos", block, 2, "file")
  with pytest.raises(errors.UserError, match=message):
    statistics.check("qpos", block | change, 2, "file")
  with pytest.raises(errors.UserError, match="no statistics of 'qpos'"):
    statistics.check("qpos", None, 2, "file")
