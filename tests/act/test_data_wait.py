"""Waiting is measured, and a cache is advised once."""

import itertools
import time

import pytest

from act import data_wait


def test_the_share_is_of_the_time_since_the_last_call(monkeypatch):
  clock = itertools.chain([0.0, 1.0, 4.0, 10.0, 10.0, 11.0, 20.0])
  monkeypatch.setattr(time, "monotonic", lambda: next(clock))
  meter = data_wait.Meter(iter("ab"))
  assert meter.next() == "a"
  assert meter.share() == pytest.approx(3.0 / 10.0)
  assert meter.next() == "b"
  assert meter.share() == pytest.approx(1.0 / 10.0)


def test_advice_comes_once_and_names_the_command():
  advice = data_wait.Advice("lerobot:data/x", is_cached=False)
  assert advice(0.9) == ""  # the first window has the compilation in it
  assert advice(0.1) == ""
  told = advice(0.6)
  assert "60%" in told
  assert "scripts/convert.py cache lerobot:data/x" in told
  assert advice(0.9) == ""


def test_a_cache_needs_no_advice():
  advice = data_wait.Advice("data/x", is_cached=True)
  assert [advice(0.9) for _ in range(3)] == ["", "", ""]
