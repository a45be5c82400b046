from carnet import clock


def test_every_is_true_at_multiples_and_at_the_end():
  every = clock.Every(4, last=10)
  assert [step for step in range(12) if every(step)] == [4, 8, 10]


def test_zero_has_no_multiples():
  assert not any(clock.Every(0)(step) for step in range(5))
  assert [s for s in range(5) if clock.Every(0, last=3)(s)] == [3]


def test_seconds_count_from_when_it_was_last_true(monkeypatch):
  now = [100.0]
  monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
  every = clock.Every(steps=4, last=9, seconds=10)
  seen = []
  for step in range(1, 10):
    now[0] += 4
    if every(step):
      seen.append((step, now[0]))
  # 12 s after the start, a multiple 4 s later, 12 s after it, a multiple, last
  assert seen == [(3, 112.0), (4, 116.0), (7, 128.0), (8, 132.0), (9, 136.0)]


def test_no_seconds_are_never_over(monkeypatch):
  monkeypatch.setattr(
    clock.time, "monotonic", iter(range(0, 10**6, 1000)).__next__
  )
  every = clock.Every(steps=3)
  assert [step for step in range(7) if every(step)] == [3, 6]


def test_multiples_that_a_stride_jumps_over():
  every = clock.Every(10, last=32, stride=4)
  assert [step for step in range(4, 33, 4) if every(step)] == [12, 20, 32]
