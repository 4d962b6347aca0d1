"""One certificate over months: obtained, renewed in time, tried again after failures, shared with other proxies."""

import threading
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from reviver.certificates import schedule
from reviver.certificates.facts import pair
from reviver.certificates.issuing import IssueError, StoppedError
from reviver.errors import OperationError
from tests.unit.certificates.fakes import START, Shop, issued

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


# ---- obtaining and renewing


def test_the_first_certificate_is_obtained_at_once(shop: Shop) -> None:
    shop.run(MINUTE)
    assert shop.issuer.orders == [(("a.example",), 0)]
    # the proof alone, then the certificate and no proof any more
    assert shop.served == [([], True), ([shop.fingerprint], False)]
    assert shop.said[0] == "a.example: asking ca.example for a certificate"
    assert shop.said[1].startswith(
        "a.example: certificate obtained, valid until 2026-07-30; to be renewed about 2026-0"
    )


def test_it_is_renewed_at_two_thirds_of_its_life_or_a_little_earlier(shop: Shop) -> None:
    shop.run(DAY)
    first = shop.fingerprint
    renewal = shop.keeper.renewal
    assert renewal is not None
    assert timedelta(days=55.5) <= renewal - START <= timedelta(days=60)
    shop.run(renewal - shop.time - MINUTE)
    assert shop.fingerprint == first
    shop.run(2 * MINUTE)
    assert len(shop.issuer.orders) == 2
    assert shop.fingerprint != first
    # the old one is served until the new one is there
    assert shop.served[2:] == [([first], True), ([shop.fingerprint], False)]


def test_certificates_of_one_authority_are_not_renewed_at_the_same_time(tmp_path: Path) -> None:
    found = [pair("x", issued("a.example")).facts for _ in range(20)]
    moments = {schedule.renewal(item) for item in found}
    assert len(moments) == 20
    assert all(schedule.renewal(item) == schedule.renewal(item) for item in found)


def test_a_year_takes_seven_certificates(shop: Shop) -> None:
    shop.run(365 * DAY)
    assert len(shop.issuer.orders) == 7
    assert shop.keeper.trouble.failures == 0


def test_a_restart_serves_what_is_stored_and_asks_for_nothing(shop: Shop) -> None:
    shop.run(DAY)
    before = shop.fingerprint
    shop.restarted()
    assert shop.fingerprint == before
    shop.run(DAY)
    assert len(shop.issuer.orders) == 1


def test_one_that_has_ended_is_served_all_the_same_and_renewed_at_once(shop: Shop) -> None:
    shop.run(DAY)
    before = shop.fingerprint
    shop.time += 200 * DAY
    shop.restarted()
    assert shop.fingerprint == before
    shop.run(MINUTE)
    assert len(shop.issuer.orders) == 2
    assert shop.fingerprint != before


def test_other_names_are_another_certificate_and_the_old_one_serves_until_it_is_there(shop: Shop) -> None:
    shop.run(DAY)
    old = shop.fingerprint
    more = Shop(shop.want.storage.folder, "a.example", "b.example")
    assert [held.facts.fingerprint for held in more.keeper.pairs] == [old]
    more.issuer.next = [IssueError("no")]
    more.run(timedelta(seconds=30))
    assert more.served[-1] == ([old], False)
    more.run(5 * MINUTE)
    assert more.served[-1] == ([more.fingerprint], False)


def test_a_stranger_is_no_stand_in(shop: Shop) -> None:
    shop.run(DAY)
    assert Shop(shop.want.storage.folder, "c.example").keeper.pairs == ()


# ---- what the authority suggests


def test_the_authority_says_when(shop: Shop) -> None:
    shop.issuer.suggestion = START + 20 * DAY
    shop.run(19 * DAY)
    assert len(shop.issuer.orders) == 1
    shop.issuer.suggestion = START + 80 * DAY
    shop.run(40 * DAY)
    assert len(shop.issuer.orders) == 1
    assert shop.keeper.renewal == START + 80 * DAY
    shop.issuer.during = lambda: setattr(shop.issuer, "suggestion", None)
    shop.run(22 * DAY)
    assert len(shop.issuer.orders) == 2


def test_it_is_asked_every_six_hours_and_no_more(shop: Shop) -> None:
    shop.run(10 * DAY)
    assert 39 <= len(shop.issuer.asked) <= 41


def test_an_authority_that_cannot_be_asked_is_no_trouble(shop: Shop) -> None:
    shop.issuer.unavailable = IssueError("down")
    shop.run(DAY)
    assert shop.keeper.trouble.failures == 0
    assert len(shop.issuer.asked) <= 5
    assert shop.keeper.renewal == schedule.renewal(pair("x", _text(shop)).facts)


def test_an_answer_that_makes_no_sense_stops_nothing(shop: Shop) -> None:
    def odd(*_: object) -> None:
        raise LookupError("no authority key identifier")

    shop.issuer.renewal = odd  # type: ignore[method-assign,assignment]
    shop.run(70 * DAY)
    assert len(shop.issuer.orders) == 2
    assert sum("no suggestion when to renew: LookupError" in line for line in shop.said) <= 4


def test_a_suggestion_behind_the_end_is_none(shop: Shop) -> None:
    shop.issuer.suggestion = START + 900 * DAY
    shop.run(70 * DAY)
    assert len(shop.issuer.orders) == 2


def test_a_suggestion_in_the_past_cannot_make_it_ask_again_and_again(shop: Shop) -> None:
    shop.issuer.suggestion = START - DAY
    shop.run(DAY)
    assert 4 <= len(shop.issuer.orders) <= 5


# ---- failures


def test_attempts_after_failures_grow_rarer_up_to_six_hours(shop: Shop) -> None:
    shop.issuer.next = [IssueError("a.example: http-01: connection: refused")] * 30
    attempts = []
    for _ in range(14):
        attempts.append(shop.time)
        shop.time += timedelta(seconds=shop.keeper.step())
    minutes = [(later - earlier).total_seconds() / 60 for earlier, later in pairwise(attempts)]
    assert minutes == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360, 360])
    assert (
        "a.example: no certificate: a.example: http-01: connection: refused; next attempt at 2026-05-01 12:01:00Z"
        in (shop.said)
    )


def test_each_attempt_may_prove_another_way(shop: Shop) -> None:
    shop.issuer.next = [IssueError("no"), IssueError("no")]
    shop.run(HOUR)
    assert [attempt for _, attempt in shop.issuer.orders] == [0, 1, 2]


def test_the_authority_says_when_to_come_back(shop: Shop) -> None:
    shop.issuer.next = [IssueError("rateLimited: too many", START + 5 * HOUR)]
    shop.run(5 * HOUR - MINUTE)
    assert len(shop.issuer.orders) == 1
    shop.run(2 * MINUTE)
    assert len(shop.issuer.orders) == 2
    assert shop.keeper.trouble.failures == 0


def test_a_renewal_that_fails_keeps_the_old_one(shop: Shop) -> None:
    shop.run(DAY)
    old = shop.fingerprint
    shop.issuer.next = [IssueError("serverInternal: down")] * 1000
    shop.run(70 * DAY)
    assert shop.fingerprint == old
    assert shop.served[-1] == ([old], False)
    assert shop.keeper.trouble.error == "serverInternal: down"
    assert any("not renewed (valid until 2026-07-30): serverInternal: down" in line for line in shop.said)
    shop.issuer.next = []
    shop.run(7 * HOUR)
    assert shop.fingerprint != old
    assert shop.keeper.trouble.error is None


def test_what_nobody_expected_is_a_failure_like_others(shop: Shop) -> None:
    shop.issuer.next = [KeyError("newNonce")]
    shop.run(HOUR)
    assert any("internal error: KeyError: 'newNonce'" in line for line in shop.said)
    assert shop.fingerprint


def test_proofs_that_cannot_be_served_are_a_failure(shop: Shop) -> None:
    shop.refuse = OperationError("the engine refuses the plan")
    shop.run(timedelta(seconds=10))
    assert shop.keeper.trouble.error == "the engine refuses the plan"
    assert not shop.keeper.proofs


def test_a_restart_does_not_ask_earlier(shop: Shop) -> None:
    shop.issuer.next = [IssueError("no")] * 4
    shop.run(10 * MINUTE)
    assert len(shop.issuer.orders) == 4
    for _ in range(5):
        shop.restarted()
        shop.run(timedelta(seconds=30))
    assert len(shop.issuer.orders) == 4
    assert shop.keeper.trouble.failures == 4
    shop.run(10 * MINUTE)
    assert len(shop.issuer.orders) == 5
    assert shop.keeper.trouble.failures == 0
    assert not shop.want.storage.read(f"{shop.want.name}.json")


def test_a_certificate_that_has_ended_when_it_comes_is_a_failure(shop: Shop) -> None:
    """A clock that is wrong must not make it ask without end."""
    shop.issuer.life = MINUTE
    original = shop.issuer.issue

    def late(*arguments: object) -> str:
        text = original(*arguments)  # type: ignore[arg-type]
        shop.time += HOUR
        return text

    shop.issuer.issue = late  # type: ignore[method-assign,assignment]
    shop.keeper.step()
    assert "is the clock right?" in (shop.keeper.trouble.error or "")


def test_a_storage_that_is_full_does_not_lose_the_certificate(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(name: str, text: str) -> None:
        raise OperationError("storage: no space left on device")

    shop.run(DAY)
    old = shop.fingerprint
    monkeypatch.setattr(type(shop.want.storage), "write", lambda self, name, text: full(name, text))
    shop.run(60 * DAY)
    assert shop.fingerprint != old
    assert any("cannot be kept for the next start: storage: no space left" in line for line in shop.said)
    new = shop.fingerprint
    shop.run(DAY)
    assert shop.fingerprint == new


def test_a_damaged_file_is_told_once_and_obtained_anew(shop: Shop) -> None:
    shop.run(DAY)
    shop.want.storage.write(f"{shop.want.name}.pem", "-----BEGIN")
    shop.restarted()
    assert shop.keeper.pair is None
    shop.run(MINUTE)
    assert len(shop.issuer.orders) == 2
    assert sum("is damaged" in line for line in shop.said) == 1


# ---- on request


def test_on_request_it_is_renewed_at_once(shop: Shop) -> None:
    shop.run(DAY)
    old = shop.fingerprint
    wish = shop.keeper.ask()
    shop.run(MINUTE)
    assert wish.result(0).startswith("a.example: certificate obtained")
    assert shop.fingerprint != old


def test_a_request_does_not_wait_for_the_next_attempt(shop: Shop) -> None:
    shop.issuer.next = [IssueError("no")] * 5
    shop.run(30 * MINUTE)
    shop.issuer.next = []
    wish = shop.keeper.ask()
    shop.run(timedelta(seconds=1))
    assert "obtained" in wish.result(0)


def test_a_request_that_fails_says_why(shop: Shop) -> None:
    shop.run(DAY)
    shop.issuer.next = [IssueError("caa: forbidden")]
    wish = shop.keeper.ask()
    shop.run(timedelta(seconds=1))
    with pytest.raises(OperationError, match="not renewed .*: caa: forbidden"):
        wish.result(0)


def test_whoever_waits_is_told_when_the_proxy_ends(shop: Shop) -> None:
    wish = shop.keeper.ask()
    shop.issuer.next = [StoppedError()]
    with pytest.raises(StoppedError):
        shop.keeper.step()
    with pytest.raises(OperationError, match="the proxy ends"):
        wish.result(0)
    late = shop.keeper.ask()
    shop.keeper.end()
    with pytest.raises(OperationError, match="the proxy ends"):
        late.result(0)


def test_ending_is_no_failure(shop: Shop) -> None:
    shop.issuer.next = [StoppedError()]
    with pytest.raises(StoppedError):
        shop.keeper.step()
    assert shop.keeper.trouble.failures == 0
    assert shop.served[-1] == ([], False)


# ---- several proxies


def test_another_proxy_takes_what_the_first_one_got(tmp_path: Path) -> None:
    first, second = Shop(tmp_path), Shop(tmp_path)
    first.run(MINUTE)
    second.run(MINUTE)
    assert second.issuer.orders == []
    assert second.fingerprint == first.fingerprint
    assert second.served == [([first.fingerprint], False)]


def test_two_proxies_do_not_order_at_once(tmp_path: Path) -> None:
    """The second one waits for the lock while the first one orders, and then has nothing to do."""
    first, second = Shop(tmp_path), Shop(tmp_path)
    ordering, go_on = threading.Event(), threading.Event()

    def during() -> None:
        ordering.set()
        assert go_on.wait(30)

    first.issuer.during = during
    thread = threading.Thread(target=first.keeper.step)
    thread.start()
    assert ordering.wait(30)
    original = second._pause

    def pause(seconds: float) -> None:
        go_on.set()
        thread.join(30)
        original(seconds)

    second.keeper._pause = pause
    second.keeper.step()
    assert second.paused
    assert second.issuer.orders == []
    assert second.fingerprint == first.fingerprint
    assert second.said == ["a.example: another proxy has obtained the certificate"]


def test_a_failure_of_another_proxy_is_not_repeated(tmp_path: Path) -> None:
    first, second = Shop(tmp_path), Shop(tmp_path)
    first.issuer.next = [IssueError("no", START + HOUR)]
    first.keeper.step()
    second.run(30 * MINUTE)
    assert second.issuer.orders == []
    assert "another proxy has just failed: no; next attempt at 2026-05-01 13:00:00Z" in second.said[0]
    second.run(HOUR)
    assert len(second.issuer.orders) == 1


def _text(shop: Shop) -> str:
    text = shop.want.storage.read(f"{shop.want.name}.pem")
    assert text is not None
    return text
