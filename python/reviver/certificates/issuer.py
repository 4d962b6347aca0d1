"""Obtains certificates by ACME (RFC 8555), with certbot's library. Imported where that is needed: it loads slowly."""

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import requests
from acme import challenges, crypto_util, errors, messages
from acme import client as acme
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from reviver import __version__
from reviver.certificates import alpn, facts
from reviver.certificates.explain import RetryAfter, explained
from reviver.certificates.issuing import IssueError, Renewal
from reviver.certificates.proofs import Proofs
from reviver.certificates.wants import ALPN, HTTP, Want

Pause = Callable[[float], None]

NETWORK_PATIENCE = 20
"""Seconds that one request to the directory may take."""
NONCES = 5
"""Pairs of attempts at a request whose nonce is refused."""
PATIENCE = 300.0
"""Seconds in which an authority has to check the proofs, and again to issue."""
FIRST_POLL, SLOWEST_POLL = 0.25, 10.0
LONGEST_RETRY = 60.0
"""Seconds between looks, by ourselves and as the authority asks for."""
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep the authorities that they trust."""


class AcmeIssuer:
    """The real issuer. It keeps nothing between two calls but what is in the storage."""

    def issue(self, want: Want, attempt: int, present: Callable[[Proofs], None], pause: Pause) -> str:
        """See `Issuer`."""
        with _client(want, pause) as client:
            try:
                return _order(client, want, attempt, present, pause)
            except messages.Error as error:
                if error.code != "accountDoesNotExist":
                    raise
                # Removed, or a test server that forgets: the same key registers once more.
                want.storage.remove(f"{want.account}.json")
                _register(client, want)
                return _order(client, want, attempt, present, pause)

    def renewal(self, want: Want, chain: str) -> Renewal:
        """See `Issuer`."""
        with explained() as retry:
            network = _Network(want, None)
            retry.follow(network.session)
            client = acme.ClientV2(acme.ClientV2.get_directory(want.directory, network), network)
            at, ask_again = client.renewal_time(chain.encode())
            # the library says the second one in local time without a zone
            return Renewal(None if at is None else at.astimezone(UTC), ask_again.astimezone(UTC))


class _Network(acme.ClientNetwork):
    """The library's, with our patience and the authorities that are trusted here."""

    def __init__(self, want: Want, key: JWKEC | None) -> None:
        super().__init__(key, alg=ES256, user_agent=f"reviver/{__version__}", timeout=NETWORK_PATIENCE)
        if (bundle := _bundle(want)) is not None:
            # `verify` of requests is a path too
            self.verify_ssl = cast(bool, str(bundle))

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Nonces that the server does not take are replaced (RFC 8555, section 6.5), more often than once."""
        for _ in range(NONCES - 1):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*args, **kwargs)


@contextlib.contextmanager
def _client(want: Want, pause: Pause) -> Iterator[acme.ClientV2]:
    """A client with an account. Errors of the library come out as IssueError."""
    with explained() as retry:
        with want.storage.lock(want.account, pause):
            network = _Network(want, _account_key(want))
            retry.follow(network.session)
            client = acme.ClientV2(acme.ClientV2.get_directory(want.directory, network), network)
            uri = want.storage.read_table(f"{want.account}.json").get("uri")
            if isinstance(uri, str):
                network.account = messages.RegistrationResource(uri=uri, body=messages.Registration())
            else:
                _register(client, want)
        try:
            yield client
        finally:
            network.session.close()


def _account_key(want: Want) -> JWKEC:
    text = want.storage.read(f"{want.account}.key")
    if text is None:
        text = new_key("ecdsa")
        want.storage.write(f"{want.account}.key", text)
    key = load_pem_private_key(text.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IssueError(f"{want.storage.path(want.account)}.key is not the key of an account")
    return JWKEC(key=key)


def _register(client: acme.ClientV2, want: Want) -> None:
    """Makes the account, or finds that of the key. Terms of service are agreed to: the manual says so."""
    client.net.account = None
    binding = None
    key = client.net.key
    assert key is not None
    if want.external_account is not None:
        identifier, mac_key = want.external_account
        binding = messages.ExternalAccountBinding.from_data(key.public_key(), identifier, mac_key, client.directory)
    elif client.external_account_required():
        raise IssueError("the authority asks for the binding to an account; set tls.automatic.external_account")
    registration = messages.NewRegistration.from_data(
        email=want.email, external_account_binding=binding, terms_of_service_agreed=True
    )
    try:
        uri = client.new_account(registration).uri
    except errors.ConflictError as known:
        uri = known.location
        client.net.account = messages.RegistrationResource(uri=uri, body=messages.Registration())
    table = {"uri": uri, "directory": want.directory, "email": want.email}
    want.storage.write_table(f"{want.account}.json", table)


def _order(client: acme.ClientV2, want: Want, attempt: int, present: Callable[[Proofs], None], pause: Pause) -> str:
    key = new_key(want.key)
    order = client.new_order(crypto_util.make_csr(key.encode(), list(want.names)))
    answers = _answers(client, order, want, attempt)
    if answers:
        present(
            Proofs(
                tuple(proof for _, _, kind, proof in answers if kind == HTTP),
                tuple(proof for _, _, kind, proof in answers if kind == ALPN),
            )
        )
        for challenge, response, _, _ in answers:
            client.answer_challenge(challenge, response)
    _await_authorizations(client, order, pause)
    chain = _await_certificate(client, order, pause)
    try:
        issued = facts.pair(want.name, key + chain)
    except ValueError as error:
        raise IssueError(f"the authority sent a certificate that is of no use: {error}") from error
    missing = [name for name in want.names if not facts.covers(issued.facts.names, name)]
    if missing:
        raise IssueError(f"the authority sent a certificate without {', '.join(missing)}")
    return issued.key + issued.chain


def _answers(
    client: acme.ClientV2, order: messages.OrderResource, want: Want, attempt: int
) -> list[tuple[messages.ChallengeBody, Any, str, tuple[str, Any]]]:
    """For each name that is not proved yet: the challenge that is taken, the response, its kind, and the proof."""
    found = []
    account_key = client.net.key
    assert account_key is not None
    for authorization in order.authorizations:
        body = authorization.body
        if body.status == messages.STATUS_VALID:
            continue
        name = body.identifier.value
        offered = {_kind(item): item for item in body.challenges}
        usable = [kind for kind in want.challenges if kind in offered]
        if not usable:
            raise IssueError(
                f"{name}: the authority offers {', '.join(offered) or 'no known challenge'}, "
                f"and {', '.join(want.challenges) or 'none'} can be answered here"
            )
        kind = usable[attempt % len(usable)]
        challenge = offered[kind]
        response, validation = challenge.chall.response_and_validation(account_key)
        if kind == HTTP:
            proof: tuple[str, Any] = (challenge.chall.encode("token"), validation)
        else:
            chain, key = alpn.certificate(name, validation, datetime.now(UTC))
            proof = (name, {"at": want.at, "name": f"{ALPN} for {name}", "chain": chain, "key": key})
        found.append((challenge, response, kind, proof))
    return found


def _kind(challenge: messages.ChallengeBody) -> str:
    """`http-01` and so on, also where the library does not know it."""
    if isinstance(challenge.chall, challenges.UnrecognizedChallenge):
        return str(challenge.chall.jobj.get("type", "an unnamed challenge"))
    return str(challenge.chall.typ)


def _await_authorizations(client: acme.ClientV2, order: messages.OrderResource, pause: Pause) -> None:
    """Waits until every name has been checked, so that all that failed are told at once."""
    polls = _Polls("the authority has not checked the names", pause)
    failed = []
    for authorization in order.authorizations:
        while True:
            found, response = client.poll(authorization)
            if found.body.status != messages.STATUS_PENDING:
                break
            polls.wait(response)
        if found.body.status != messages.STATUS_VALID:
            failed.append(found)
    if failed:
        raise errors.ValidationError(failed)


def _await_certificate(client: acme.ClientV2, order: messages.OrderResource, pause: Pause) -> str:
    """Finalizes the order and downloads the chain (RFC 8555, sections 7.4 and 7.4.2)."""
    polls = _Polls("the authority has not issued the certificate", pause)
    finalized = False
    while True:
        response = _get(client, order.uri)
        body = messages.Order.from_json(response.json())
        if body.status == messages.STATUS_INVALID:
            raise body.error or IssueError("the authority gave the order up without saying why")
        if body.status == messages.STATUS_VALID and body.certificate is not None:
            return str(_get(client, body.certificate).text)
        if body.status == messages.STATUS_READY and not finalized:
            client.begin_finalization(order)
            finalized = True
            continue
        polls.wait(response)


def _get(client: acme.ClientV2, url: str) -> requests.Response:
    """POST-as-GET (RFC 8555, section 6.3)."""
    return client.net.post(url, None, new_nonce_url=client.directory["newNonce"])


class _Polls:
    """How long to wait before each next look: as the authority asks for, else a little longer each time."""

    def __init__(self, too_long: str, pause: Pause) -> None:
        self._too_long = too_long
        self._pause = pause
        self._next = FIRST_POLL
        self._waited = 0.0

    def wait(self, response: requests.Response) -> None:
        """Waits after a look that gave nothing. Raises IssueError at the end of patience."""
        if self._waited > PATIENCE:
            raise IssueError(f"{self._too_long} within {PATIENCE:g} s")
        asked = RetryAfter.seconds(response)
        seconds = self._next if asked is None else min(max(asked, FIRST_POLL), LONGEST_RETRY)
        self._next = min(self._next * 1.5, SLOWEST_POLL)
        self._waited += seconds
        self._pause(seconds)


def new_key(kind: str) -> str:
    """A new private key, `ecdsa` or `rsa`, as PEM text (PKCS#8)."""
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ecdsa" else rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _bundle(want: Want) -> str | Path | None:
    """Who vouches for the directory: the file that was given, else the system's; None: those of the library."""
    given = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    return want.directory_ca or next((path for path in (given, *BUNDLES) if path and Path(path).is_file()), None)
