from carnet import clock


def test_every_is_true_at_multiples_and_at_the_end():
  every = clock.Every(4, last=10)
  assert [step for step in range(12) if every(step)] == [4, 8, 10]


def test_zero_has_no_multiples():
  assert not any(clock.Every(0)(step) for step in range(5))
  assert [s for s in range(5) if clock.Every(0, last=3)(s)] == [3]
