"""Updates for each environment step, exact and across a kill."""

import fractions
import json

import hypothesis
import pytest
from hypothesis import strategies

from carnet import errors
from dreamer import ratio


def test_ratio_is_exact_over_any_steps():
  updates = ratio.Ratio(0.1, 3)
  assert updates(7) == 1
  total = sum(updates(7 + step) for step in range(1, 30_001))
  assert total == 1000
  assert ratio.Ratio(fractions.Fraction(1, 3))(0) == 1
  assert [ratio.Ratio(0)(step) for step in range(3)] == [0, 0, 0]


@hypothesis.given(
  strategies.lists(strategies.integers(0, 9), max_size=20),
  strategies.fractions(0, 5, max_denominator=30),
  strategies.integers(0, 20),
)
@hypothesis.settings(deadline=None)
def test_ratio_goes_on_after_a_kill(increments, value, killed):
  whole, part, step = ratio.Ratio(value), ratio.Ratio(value), 3
  for index, increment in enumerate(increments):
    step += increment
    if index == killed:
      state = json.loads(json.dumps(part.state()))
      part = ratio.Ratio(value)
      part.load_state(state)
    assert whole(step) == part(step)


def test_a_changed_ratio_counts_from_the_step_reached():
  before, after = ratio.Ratio(1), ratio.Ratio(2)
  assert before(0) + before(1000) == 1001
  after.load_state(before.state())
  assert after(1000) == 0
  assert after(1003) == 6
  with pytest.raises(errors.UserError, match="not possible"):
    ratio.Ratio(-1)
