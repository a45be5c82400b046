import pytest

from carnet import intervals


@pytest.mark.parametrize(
  ("successes", "trials", "low", "high"),
  [
    # z = 1.96; by hand for 0 of 10: (z²/2n + z √(z²/4n²)) / (1 + z²/n)
    # = (0.19207 + 0.19207) / 1.38415 = 0.27753
    (0, 10, 0.0, 0.2775),
    (10, 10, 0.7225, 1.0),
    (44, 50, 0.7620, 0.9438),
    (28, 50, 0.4231, 0.6884),
  ],
)
def test_wilson_against_published_values(successes, trials, low, high):
  assert intervals.wilson(successes, trials) == pytest.approx(
    (low, high), abs=1e-4
  )


def test_confidence_widens_the_interval():
  narrow, wide = (intervals.wilson(30, 50, c) for c in (0.68, 0.99))
  assert wide[0] < narrow[0] < 0.6 < narrow[1] < wide[1]


@pytest.mark.parametrize("counts", [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(counts):
  with pytest.raises(ValueError, match="successes of"):
    intervals.wilson(*counts)
