"""What an inverse undoes, and what has none."""

import hypothesis
import numpy as np
import operating
import pytest
from hypothesis import strategies

from carnet import errors
from carnet.passport import operations, steps

ROUND_TRIPS = [
  ("scale", steps.ScaleParams(divisor=255.0, offset=-0.5)),
  ("standardize", operating.MOMENTS),
  ("unstandardize", operating.MOMENTS),
  ("to_unit_range", operating.RANGE),
  ("from_unit_range", operating.RANGE),
  ("symlog", steps.NoParams()),
]


@pytest.mark.parametrize(("op", "params"), ROUND_TRIPS)
@hypothesis.given(
  strategies.lists(
    strategies.tuples(*[strategies.floats(-50, 50, width=32)] * 2),
    min_size=1,
    max_size=5,
  )
)
def test_an_inverse_undoes(op, params, rows):
  x = np.array(rows, np.float32)
  there = operating.apply(op, params, x)
  back = operating.invert(op, params, there)
  # 5 is subtracted where the floor of 0.01 multiplies by a hundred
  np.testing.assert_allclose(back, x, rtol=2e-5, atol=2e-4)
  np.testing.assert_allclose(
    operating.apply(op, params, back), there, rtol=2e-4, atol=2e-2
  )


@hypothesis.given(
  strategies.lists(strategies.floats(-1, 1, width=32), min_size=2, max_size=2)
)
def test_bounds_are_undone(values):
  params = operating.bounds((0.5, None), (3.0, None))
  x = np.array([values], np.float32)
  back = operating.invert(
    "from_bounds", params, operating.apply("from_bounds", params, x)
  )
  np.testing.assert_allclose(back, x, atol=1e-6)


def test_what_has_no_inverse_says_so():
  step = operating.make("one_hot", steps.OneHotParams(classes=2))
  assert not operations.has_inverse(step)
  assert operations.has_inverse(operating.make("symlog", steps.NoParams()))
  with pytest.raises(errors.UserError, match=r"0 \(one_hot\) has no inverse"):
    operations.invert(step, operating.row(1), operating.call())
