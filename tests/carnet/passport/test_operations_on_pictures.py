"""Pictures resized and made gray as by Pillow and as the games do it."""

import jax.numpy as jnp
import numpy as np
import operating
import pytest
from PIL import Image

from carnet import errors
from carnet.passport import contract, pictures, steps


def _picture(height, width, channels=3, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, channels), np.uint8)


_PILLOW = {
  "bilinear": Image.Resampling.BILINEAR,
  "bicubic": Image.Resampling.BICUBIC,
  "lanczos": Image.Resampling.LANCZOS,
  "area": Image.Resampling.BOX,
  "nearest": Image.Resampling.NEAREST,
}


@pytest.mark.parametrize("method", _PILLOW)
@pytest.mark.parametrize("size", [(96, 96), (21, 16), (300, 200), (210, 40)])
def test_resized_as_by_pillow(method, size):
  image = _picture(210, 160)
  params = contract.Resize(
    height=size[0],
    width=size[1],
    method=method,
    antialias=True,
    keep_aspect=False,
  )
  found = operating.apply("resize", params, image[None])
  expected = np.array(
    Image.fromarray(image).resize(size[::-1], _PILLOW[method])
  )
  np.testing.assert_array_equal(found[0], expected)
  assert found.dtype == np.uint8


def test_pictures_in_jax_and_in_numpy():
  image = _picture(40, 30)[None]
  params = contract.Resize(
    height=16,
    width=16,
    method="bilinear",
    antialias=True,
    keep_aspect=True,
    pad_value=7.0,
  )
  found = operating.apply("resize", params, image)
  # 40 x 30 becomes 16 x 12, two columns of border on either side
  assert (found[0, :, :2] == 7).all()
  assert (found[0, :, 14:] == 7).all()
  assert (found[0, :, 2:14] != 7).mean() > 0.9
  other = operating.apply("resize", params, jnp.asarray(image), xp=jnp)
  assert np.abs(found.astype(int) - np.asarray(other)).max() <= 1
  with pytest.raises(errors.UserError, match="no pad_value"):
    operating.apply(
      "resize", params.model_copy(update={"pad_value": None}), image
    )


def test_without_antialias_only_neighbours_count():
  table = pictures.weights(8, 2, "bilinear", antialias=False)
  assert (table > 0).sum(1).tolist() == [2, 2]
  smooth = pictures.weights(8, 2, "bilinear", antialias=True)
  assert (smooth > 0).sum(1).min() > 4
  np.testing.assert_allclose(smooth.sum(1), 1, rtol=1e-6)


def test_gray_and_frames_as_the_games_do_it():
  weights = (0.299, 0.587, 1 - (0.299 + 0.587))
  image = _picture(12, 10)
  found = operating.apply(
    "gray", steps.GrayParams(weights=weights), image[None]
  )
  expected = (image * np.array(weights)).sum(-1).astype(np.uint8)
  np.testing.assert_array_equal(found[0, ..., 0], expected)
  frames = np.stack([image, _picture(12, 10, seed=1)])
  for method, reduced in (
    ("max", frames.max(0)),
    ("mean", frames.mean(0).astype(np.uint8)),
  ):
    params = steps.AggregateParams(frames=2, method=method)
    found = operating.apply("aggregate_frames", params, frames[None])
    np.testing.assert_array_equal(found[0], reduced)
    other = operating.apply(
      "aggregate_frames", params, jnp.asarray(frames[None]), xp=jnp
    )
    np.testing.assert_array_equal(other, found)
  with pytest.raises(errors.UserError, match="takes 2 frames, not 1"):
    operating.apply("aggregate_frames", params, frames[None, :1])
  with pytest.raises(errors.UserError, match="takes uint8 pictures of 3 axes"):
    operating.apply(
      "gray", steps.GrayParams(weights=weights), image[None] / 255
    )
