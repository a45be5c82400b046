"""The blocked gradient against XLA's own and against a sum in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carnet import convolution

# N, H, W, C, D, kernel, stride, dilation, padding: a row for each way through
CASES = {
  "resnet 3x3": (3, 12, 10, 16, 24, (3, 3), (1, 1), (1, 1), 1),
  "odd, no padding": (2, 11, 7, 17, 5, (3, 3), (1, 1), (1, 1), 0),
  "dilated": (2, 9, 13, 16, 8, (3, 3), (1, 1), (2, 2), 2),
  "oblong": (1, 8, 9, 16, 8, (1, 5), (1, 1), (1, 2), 2),
  "column": (1, 8, 9, 16, 8, (5, 1), (1, 1), (1, 1), 2),
  "stride 2": (3, 13, 10, 16, 8, (3, 3), (2, 2), (1, 1), 1),
  "stride 2, dilated": (2, 13, 12, 16, 8, (3, 3), (2, 2), (2, 2), 2),
  "strides 2, 3": (2, 11, 14, 16, 8, (3, 3), (2, 3), (1, 1), 1),
  "1x1": (2, 5, 7, 16, 8, (1, 1), (1, 1), (1, 1), 0),
  "1x1, stride 2": (2, 5, 8, 16, 8, (1, 1), (2, 2), (1, 1), 0),
  "stem": (2, 20, 26, 3, 8, (7, 7), (2, 2), (1, 1), 3),
  "odd stem": (2, 19, 27, 3, 8, (5, 5), (2, 2), (1, 1), 2),
  "few channels": (2, 9, 11, 8, 16, (3, 3), (1, 1), (1, 1), 1),
  "few, dilated": (1, 15, 14, 2, 6, (3, 3), (3, 2), (2, 3), 3),
}
Case = tuple[jax.Array, jax.Array, convolution.Geometry]


def make(name: str) -> Case:
  n, height, width, inputs, outputs, size, strides, dilation, pad = CASES[name]
  keys = jax.random.split(jax.random.key(0))
  x = jax.random.normal(keys[0], (n, height, width, inputs))
  kernel = jax.random.normal(keys[1], (*size, inputs, outputs))
  padding = ((pad, pad), (pad, pad))
  return x, kernel, convolution.Geometry(strides, padding, dilation)


def plain(
  x: jax.Array, kernel: jax.Array, geometry: convolution.Geometry
) -> jax.Array:
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    geometry.strides,
    geometry.padding,
    rhs_dilation=geometry.dilation,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def output_shape(x, kernel, geometry) -> jax.ShapeDtypeStruct:
  return jax.eval_shape(lambda *args: plain(*args, geometry), x, kernel)


def gradient_of(y: jax.Array) -> jax.Array:
  return jax.random.normal(jax.random.key(1), y.shape, y.dtype)


def exact(
  x: np.ndarray, gradient: np.ndarray, size: tuple[int, int], geometry
) -> np.ndarray:
  """Sums x[n, s h + d i, s w + d j, c] gradient[n, h, w, d] in float64."""
  x = np.pad(x, ((0, 0), *geometry.padding, (0, 0))).astype(np.float64)
  h, w = gradient.shape[1:3]
  (down, right), (far, wide) = geometry.strides, geometry.dilation
  out = np.zeros((*size, x.shape[-1], gradient.shape[-1]))
  for i in range(size[0]):
    for j in range(size[1]):
      rows, columns = (
        i * far + down * np.arange(h),
        j * wide + right * np.arange(w),
      )
      seen = x[:, rows][:, :, columns]
      out[i, j] = np.einsum("nhwc,nhwd->cd", seen, gradient.astype(np.float64))
  return out


@pytest.mark.parametrize("block_bytes", [1, convolution.BLOCK_BYTES])
@pytest.mark.parametrize("name", CASES)
def test_output_and_gradients_are_those_of_xla_and_of_float64(
  monkeypatch, name, block_bytes
):
  monkeypatch.setattr(convolution, "BLOCK_BYTES", block_bytes)
  x, kernel, geometry = make(name)

  @functools.partial(jax.jit, static_argnums=0)
  def pull(convolve, x, kernel):
    y, back = jax.vjp(lambda *args: convolve(*args, geometry), x, kernel)
    return y, *back(gradient_of(y))

  ours, theirs = pull(convolution.convolve, x, kernel), pull(plain, x, kernel)
  np.testing.assert_array_equal(ours[0], theirs[0])
  np.testing.assert_array_equal(ours[1], theirs[1])
  gradient = np.asarray(gradient_of(ours[0]))
  right = exact(np.asarray(x), gradient, kernel.shape[:2], geometry)
  scale = np.abs(right).max()
  np.testing.assert_allclose(ours[2] / scale, theirs[2] / scale, atol=2e-6)
  np.testing.assert_allclose(ours[2] / scale, right / scale, atol=1e-6)


def test_rounding_does_not_grow_with_the_number_of_summands():
  # 24576 summands that do not cancel
  geometry = convolution.Geometry((2, 2), ((3, 3), (3, 3)))
  x = 1.0 + jax.random.normal(jax.random.key(0), (8, 96, 128, 3))
  y = output_shape(x, jnp.zeros((7, 7, 3, 4)), geometry)
  gradient = 1.0 + gradient_of(y)
  ours = jax.jit(convolution.kernel_gradient, static_argnums=(2, 3))(
    x, gradient, (7, 7), geometry
  )
  theirs = exact(np.asarray(x), np.asarray(gradient), (7, 7), geometry)
  np.testing.assert_allclose(ours, theirs, rtol=5e-6)


def test_half_precision_keeps_its_dtype_and_sums_in_single():
  x, kernel, geometry = make("stem")
  half = x.astype(jnp.bfloat16)
  gradient = gradient_of(output_shape(x, kernel, geometry))
  gradient = gradient.astype(jnp.bfloat16)
  ours = convolution.kernel_gradient(half, gradient, (7, 7), geometry)
  assert ours.dtype == jnp.bfloat16
  wide = (half.astype(jnp.float32), gradient.astype(jnp.float32))
  theirs = convolution.kernel_gradient(*wide, (7, 7), geometry)
  np.testing.assert_array_equal(ours, theirs.astype(jnp.bfloat16))


@pytest.mark.parametrize(
  ("platform", "scans"), [("cpu", True), ("cuda", False)]
)
def test_only_a_cpu_program_has_blocks(monkeypatch, platform, scans):
  monkeypatch.setattr(convolution, "BLOCK_BYTES", 1)
  x, kernel, geometry = make("resnet 3x3")

  def total(kernel: jax.Array) -> jax.Array:
    return convolution.convolve(x, kernel, geometry).sum()

  traced = jax.jit(jax.grad(total)).trace(kernel)
  text = traced.lower(lowering_platforms=(platform,)).as_text()
  assert ("while" in text) == scans
