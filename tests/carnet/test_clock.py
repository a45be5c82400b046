from carnet import clock


def test_every_is_true_at_multiples_and_at_the_end():
  every = clock.Every(4, last=10)
  assert [step for step in range(12) if every(step)] == [4, 8, 10]


def test_zero_is_never():
  assert not any(clock.Every(0, last=3)(step) for step in range(5))
