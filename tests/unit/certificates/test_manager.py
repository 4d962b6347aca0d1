"""The certificates of a running proxy over reloads: threads, requests, the local authority."""

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reviver.certificates.manager import Manager
from reviver.certificates.rows import rows
from reviver.certificates.storage import Storage
from reviver.certificates.wants import wanted
from reviver.config import Loaded, load_mapping
from reviver.control.compiled import compile_loaded
from reviver.errors import OperationError
from tests.support.wait import until
from tests.unit.certificates.fakes import FakeIssuer, issued

SECONDS = 30


def _now() -> datetime:
    return datetime.now(UTC)


def _loaded(*domains: str, **listeners: dict[str, Any]) -> Loaded:
    """Listener `web` for these domains, and others that are given by their `tls`."""
    tls = {**({"web": {"automatic": {"domains": list(domains)}}} if domains else {}), **listeners}
    ports = iter(range(18443, 18500))
    tree = {
        "listeners": {
            "plain": {"bind": "127.0.0.1:18080", "role": "reverse"},
            **{
                name: {"bind": f"127.0.0.1:{next(ports)}", "role": "reverse", "tls": value}
                for name, value in tls.items()
            },
        },
        "reverse": {"routes": [{"name": "all", "respond": {}}]},
        "workers": 1,
    }
    return load_mapping(tree, "r.yaml")


class Running:
    """A manager whose changes are noted."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.issuer = FakeIssuer(_now)
        self.manager = Manager(self.said.append, folder=folder, issuer=self.issuer)
        self.changes: list[dict[str, list[str]]] = []
        self.changed = threading.Condition()

    def serve(self, loaded: Loaded) -> None:
        self.manager.adopt(self.manager.prepare(loaded))

    def start(self) -> None:
        self.manager.start(self._note)

    def _note(self) -> None:
        material = self.manager.current.material
        with self.changed:
            self.changes.append(
                {listener: [name for name, _, _ in held] for listener, held in material.automatic.items()}
            )
            self.changed.notify_all()

    def await_served(self, **wanted: int) -> None:
        """Until each listener serves so many certificates."""
        with self.changed:
            assert self.changed.wait_for(
                lambda: bool(self.changes) and {k: len(v) for k, v in self.changes[-1].items()} == wanted, SECONDS
            ), self.changes


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    proxy = Running(tmp_path / "certificates")
    yield proxy
    proxy.manager.stop()


def test_certificates_are_obtained_once_it_serves(running: Running) -> None:
    running.serve(_loaded("a.example", "b.example"))
    assert running.issuer.orders == []
    running.start()
    running.await_served(web=1)
    assert running.issuer.orders == [(("a.example", "b.example"), 0)]


def test_what_is_stored_is_served_before_anything_is_asked(running: Running) -> None:
    loaded = _loaded("a.example")
    want = wanted(loaded, running.manager.folder)["web"]
    want.storage.write(f"{want.name}.pem", issued("a.example", begin=_now()))
    material = running.manager.prepare(loaded).material
    [(name, chain, key)] = material.automatic["web"]
    assert name == str(want.storage.path(want.name)) + ".pem"
    assert "CERTIFICATE" in chain
    assert "PRIVATE KEY" in key


def test_listeners_that_want_the_same_share_it(running: Running) -> None:
    running.serve(_loaded("a.example", second={"automatic": {"domains": ["a.example"]}}))
    running.start()
    running.await_served(web=1, second=1)
    assert len(running.issuer.orders) == 1


def test_a_reload_obtains_what_is_new_and_leaves_the_rest_alone(running: Running) -> None:
    running.serve(_loaded("a.example"))
    running.start()
    running.await_served(web=1)
    running.serve(_loaded("a.example", second={"automatic": {"domains": ["c.example"]}}))
    running.await_served(web=1, second=1)
    assert [names for names, _ in running.issuer.orders] == [("a.example",), ("c.example",)]
    running.serve(_loaded("a.example"))
    assert set(running.manager.current.material.automatic) == {"web"}


def test_an_order_goes_on_over_a_reload_that_wants_it_too(running: Running) -> None:
    ordering, go_on = threading.Event(), threading.Event()

    def during() -> None:
        ordering.set()
        assert go_on.wait(SECONDS)

    running.issuer.during = during
    running.serve(_loaded("a.example"))
    running.start()
    assert ordering.wait(SECONDS)
    prepared = running.manager.prepare(_loaded("a.example"))
    # the proof is in the next plan too
    assert prepared.material.challenges["http"] == [("token", "authorization")]
    running.manager.adopt(prepared)
    go_on.set()
    running.await_served(web=1)
    assert len(running.issuer.orders) == 1


def test_what_was_prepared_and_not_adopted_obtains_nothing(running: Running) -> None:
    running.serve(_loaded("a.example"))
    running.start()
    running.await_served(web=1)
    running.manager.prepare(_loaded("b.example"))
    wait(running.manager.renew("a.example"), SECONDS)
    assert {names for names, _ in running.issuer.orders} == {("a.example",)}


def test_it_is_renewed_by_listener_or_by_host(running: Running) -> None:
    running.serve(_loaded("a.example", second={"automatic": {"domains": ["c.example", "d.example"]}}))
    running.start()
    running.await_served(web=1, second=1)
    for name in ("second", "D.example"):
        [wish] = running.manager.renew(name)
        assert "c.example, d.example: certificate obtained" in wish.result(SECONDS)
    assert [names for names, _ in running.issuer.orders].count(("a.example",)) == 1
    assert len(wait(running.manager.renew(), SECONDS).done) == 2


def test_an_unknown_name_says_what_there_is(running: Running) -> None:
    running.serve(_loaded())
    with pytest.raises(OperationError, match="no certificate is automatic here"):
        running.manager.renew()
    running.serve(_loaded("a.example"))
    with pytest.raises(OperationError, match=r"no automatic certificate 'x\.example'; there are: web \(a\.example\)"):
        running.manager.renew("x.example")


def test_it_ends_while_an_order_hangs(running: Running) -> None:
    hanging = threading.Event()
    never = threading.Event()

    def during() -> None:
        hanging.set()
        never.wait(SECONDS)

    running.issuer.during = during
    running.serve(_loaded("a.example"))
    running.start()
    assert hanging.wait(SECONDS)
    [wish] = running.manager.renew()
    running.manager.stop()
    with pytest.raises(OperationError, match="the proxy ends"):
        wish.result(SECONDS)
    never.set()


def test_another_proxy_that_shares_the_storage_is_followed(running: Running, tmp_path: Path) -> None:
    other = Running(tmp_path / "certificates")
    for proxy in (running, other):
        proxy.serve(_loaded("a.example"))
        proxy.start()
    for proxy in (running, other):
        proxy.await_served(web=1)
    assert len(running.issuer.orders) + len(other.issuer.orders) == 1
    before = running.manager.current.material
    wait(other.manager.renew(), SECONDS)
    running.manager.look()
    until(lambda: running.manager.current.material.automatic != before.automatic, "the renewed certificate")
    assert running.manager.current.material.automatic == other.manager.current.material.automatic
    other.manager.stop()


def test_the_local_authority_is_made_when_it_is_wanted(running: Running) -> None:
    running.serve(_loaded())
    assert not running.manager.folder.exists()
    prepared = running.manager.prepare(_loaded(dev={"internal": True}), make=False)
    assert prepared.material.internal == {}
    assert not running.manager.folder.exists()
    first = running.manager.prepare(_loaded(dev={"internal": True})).material
    assert set(first.internal) == {"dev"}
    assert [line for line in running.said if "reviver certificates trust" in line]
    again = running.manager.prepare(_loaded(dev={"internal": True}, more={"internal": True})).material
    assert again.internal["dev"] == again.internal["more"] == first.internal["dev"]
    assert len(running.said) == 1


def test_a_storage_that_cannot_be_used_keeps_it_from_starting(running: Running) -> None:
    running.manager.folder.mkdir()
    running.manager.folder.chmod(0o777)
    with pytest.raises(OperationError, match="can be written to by others"):
        running.manager.prepare(_loaded("a.example"))


# ---- what is shown


def _shown(running: Running, loaded: Loaded, now: datetime) -> list[dict[str, Any]]:
    prepared = running.manager.prepare(loaded)
    return rows(compile_loaded(loaded, prepared.material).plan, prepared, now)


def test_a_certificate_that_is_awaited_is_pending(running: Running) -> None:
    [row] = _shown(running, _loaded("a.example"), _now())
    assert (row["listener"], row["names"], row["source"], row["state"]) == (
        "web", ("a.example",), "automatic", "pending",
    )  # fmt: skip
    assert row["not_after"] is None


def test_states_follow_the_dates(running: Running) -> None:
    loaded = _loaded("a.example")
    want = wanted(loaded, running.manager.folder)["web"]
    begin = _now().replace(microsecond=0)
    want.storage.write(f"{want.name}.pem", issued("a.example", begin=begin))
    states = {}
    for day in (-1, 1, 80, 91):
        [row] = _shown(running, loaded, begin + timedelta(days=day))
        states[day] = row["state"], row["days_left"]
    assert states == {
        -1: ("not yet valid", 91), 1: ("valid", 89), 80: ("expires soon", 10), 91: ("expired", -1),
    }  # fmt: skip
    assert row["issuer"] == "Fake Authority"
    assert row["key"] == "ECDSA P-256"
    assert row["not_after"] == (begin + timedelta(days=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert row["next_renewal"] < row["not_after"]


def test_a_failure_is_shown_with_its_reason_and_the_next_attempt(running: Running) -> None:
    loaded = _loaded("a.example")
    want = wanted(loaded, running.manager.folder)["web"]
    later = "2036-05-01T13:00:00+00:00"
    want.storage.write_table(f"{want.name}.json", {"failures": 3, "error": "caa: no", "next_attempt": later})
    [row] = _shown(running, loaded, _now())
    assert (row["state"], row["error"], row["next_attempt"]) == ("failing", "caa: no", "2036-05-01T13:00:00Z")


def test_stand_ins_and_the_local_authority_are_shown_too(running: Running) -> None:
    loaded = _loaded("a.example", "b.example", dev={"internal": True})
    Storage(running.manager.folder).write("automatic/old.pem", issued("a.example", begin=_now()))
    found = _shown(running, loaded, _now())
    assert [(row["listener"], row["source"], row["state"]) for row in found] == [
        ("web", "automatic", "valid"),
        ("web", "automatic", "pending"),
        ("dev", "internal", "valid"),
    ]
    assert found[2]["file"] == str(running.manager.folder / "internal" / "ca.pem")
