"""A training loop may finish its step when it is asked to stop."""

import os
import signal
import threading

import pytest

from carnet.checkpoint import signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_noted(number):
  before = signal.getsignal(number)
  with signals.graceful() as stop:
    assert not stop
    os.kill(os.getpid(), number)
    assert stop
    assert stop.name == signal.Signals(number).name
  assert signal.getsignal(number) is before


def test_the_second_signal_acts_as_ever():
  with signals.graceful() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop
    with pytest.raises(KeyboardInterrupt):
      os.kill(os.getpid(), signal.SIGINT)


def test_handlers_come_back_after_an_error():
  before = signal.getsignal(signal.SIGINT)
  with pytest.raises(ZeroDivisionError), signals.graceful():
    raise ZeroDivisionError
  assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_is_left_alone():
  seen = []

  def run():
    with signals.graceful() as stop:
      seen.append(bool(stop))

  thread = threading.Thread(target=run)
  thread.start()
  thread.join()
  assert seen == [False]
