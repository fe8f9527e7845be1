"""What ends a run: not-a-number, a runaway loss, no progress, a signal."""

import math
import os
import signal
import threading

import pytest

from nn2llm.core.errors import TrainingError
from nn2llm.train.guards import EarlyStopping, LossGuard
from nn2llm.train.interrupts import Interrupts


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_stops_and_names_the_remedies(loss):
    with pytest.raises(
        TrainingError, match=rf"loss became {loss} at step 7 .*at 0\.50 of.*--optimizer\.muon-lr"
    ):
        LossGuard(3.0).check(loss, step=7, lr_factor=0.5)


def test_a_gradient_that_is_no_number_stops():
    guard = LossGuard(3.0)
    guard.check_gradient(1e30, step=1, lr_factor=1.0)
    with pytest.raises(TrainingError, match="gradient's norm became inf at step 2"):
        guard.check_gradient(math.inf, step=2, lr_factor=1.0)


def test_a_first_gradient_of_zero_stops_and_a_later_one_does_not():
    guard = LossGuard(3.0)
    with pytest.raises(TrainingError, match=r"exactly zero.*--compile"):
        guard.check_gradient(0.0, step=1, lr_factor=1.0)
    guard.check_gradient(0.0, step=2, lr_factor=1.0)


def test_a_first_gradient_of_zero_is_let_pass_where_it_can_be():
    guard = LossGuard(math.inf, zero_gradient_is_fine=True)
    guard.check_gradient(0.0, step=1, lr_factor=1.0)
    with pytest.raises(TrainingError, match="gradient's norm became nan at step 1"):
        guard.check_gradient(math.nan, step=1, lr_factor=1.0)


def test_one_bad_batch_is_let_pass_and_a_runaway_is_stopped():
    guard = LossGuard(1.0)
    guard.check(2.0, step=1, lr_factor=1.0)
    guard.check(11.9, step=2, lr_factor=1.0)  # smoothed 0.9 · 2 + 0.1 · 11.9 = 2.99, not above 2 + 1
    assert guard.smoothed == pytest.approx(2.99)
    with pytest.raises(TrainingError, match=r"run away: 3\.09 nats at step 3, after 2\.00"):
        guard.check(4.0, step=3, lr_factor=1.0)  # 0.9 · 2.99 + 0.1 · 4 = 3.091


def test_the_guard_goes_on_from_its_state():
    first, second = LossGuard(1.0), LossGuard(1.0)
    second.load_state_dict(first.state_dict())
    assert second.lowest == math.inf
    first.check(2.0, step=1, lr_factor=1.0)
    second.load_state_dict(first.state_dict())
    assert (second.smoothed, second.lowest) == (2.0, 2.0)


def test_early_stopping_waits_for_its_patience():
    stopping = EarlyStopping(2)
    assert [stopping.observe(loss, step) for step, loss in enumerate([3.0, 2.0, 2.5], 1)] == [
        True,
        True,
        False,
    ]
    assert not stopping.should_stop
    assert stopping.observe(1.9, 4)  # better again: patience starts anew
    assert not stopping.observe(1.9, 5)  # equal is not better
    assert not stopping.should_stop
    assert not stopping.observe(math.nan, 6)
    assert stopping.should_stop
    assert (stopping.best_loss, stopping.best_step) == (1.9, 4)
    other = EarlyStopping(2)
    other.load_state_dict(stopping.state_dict())
    assert other.should_stop
    assert (other.best_loss, other.best_step) == (1.9, 4)


def test_without_patience_nothing_stops():
    stopping = EarlyStopping(None)
    for step in range(50):
        stopping.observe(float(step), step)
    assert not stopping.should_stop


def test_a_signal_is_noted_and_the_old_handlers_come_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        assert not interrupts.pending
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.pending
        os.kill(os.getpid(), signal.SIGTERM)  # schedulers repeat themselves
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_ctrl_c_stops_at_once_but_not_an_echo_of_the_first(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("nn2llm.train.interrupts.time.monotonic", lambda: now[0])
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        now[0] = 100.5  # torchrun passes on what the terminal has sent already
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.pending
        now[0] = 101.5
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_outside_the_main_thread_signals_are_left_alone():
    seen = []

    def enter() -> None:
        with Interrupts() as interrupts:
            seen.append((interrupts.pending, signal.getsignal(signal.SIGINT)))

    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(False, handler)]
