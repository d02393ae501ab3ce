"""Certificates: what a Secret can hold, and what is said of it as time goes by."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airfield.api.conditions import timestamp
from airfield.api.exposure import Ingress, IssuerReference
from airfield.environment.certificate import FIELDS, MOST, Certificate, certificate_of, is_for, judge
from airfield.environment.exposure import Exposed
from airfield.environment.reasons import Reason
from certificates import Authority, composite, encoded

HOST = "demo.example.com"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
AUTHORITY = Authority()
EXPOSED = Exposed(HOST, Ingress(), None, "demo-tls", None, 14)
GOOD = AUTHORITY.issue(HOST)


def read(content: dict[str, str]) -> Certificate:
    found = certificate_of(encoded(content))
    assert isinstance(found, Certificate), found
    return found


def test_reading() -> None:
    until = NOW + timedelta(days=30)
    found = read(AUTHORITY.issue(HOST, "*.EXAMPLE.org", since=NOW, until=until))
    assert found == Certificate(frozenset({HOST, "*.example.org"}), NOW, until)


def test_the_first_of_a_chain_to_expire_counts() -> None:
    soon = AUTHORITY.issue("intermediate", until=datetime.now(UTC) + timedelta(days=3))
    found = read(AUTHORITY.issue(HOST, chain=[soon["tls.crt"], AUTHORITY.pem]))
    assert found.names == {HOST}
    assert found.not_after - datetime.now(UTC) < timedelta(days=4)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "lacks the key tls.crt"),
        (encoded({"tls.crt": GOOD["tls.crt"]}), "lacks the key tls.key"),
        (encoded({**GOOD, "tls.crt": ""}), "lacks the key tls.crt"),
        ({**encoded(GOOD), "tls.key": "%%%"}, "tls.key is not base64"),
        (encoded({**GOOD, "tls.crt": "no certificate"}), "tls.crt holds no certificates in PEM"),
        (encoded({**GOOD, "tls.crt": GOOD["tls.key"]}), "tls.crt holds no certificates in PEM"),
        (encoded({**GOOD, "tls.crt": GOOD["tls.crt"].replace("M", "N", 9)}), "tls.crt holds no certificates in PEM"),
        (encoded({**GOOD, "tls.key": "no key"}), "tls.key holds no private key in PEM"),
        (encoded({**GOOD, "tls.key": GOOD["tls.crt"]}), "tls.key holds no private key in PEM"),
        (encoded({**GOOD, "tls.key": AUTHORITY.issue(HOST)["tls.key"]}), "is not the key of the first certificate"),
        # Whoever looked whether these are primes would stand still where they are large.
        (encoded({**GOOD, "tls.key": composite()}), "is not the key of the first certificate"),
        (encoded({**GOOD, "tls.key": "x" * MOST}), f"tls.key has more than {MOST} characters"),
    ],
)
def test_unreadable(data: dict[str, str], words: str) -> None:
    found = certificate_of(data)
    assert isinstance(found, str)
    assert words in found
    verdict = judge(EXPOSED, found, NOW)
    assert (verdict.valid, verdict.reason) == (False, Reason.CERTIFICATE_UNREADABLE)


def test_the_first_and_the_last_year() -> None:
    assert [timestamp(datetime(year, 1, 1, tzinfo=UTC))[:4] for year in (1, 9999)] == ["0001", "9999"]


@given(
    st.dictionaries(
        st.sampled_from(FIELDS), st.binary(max_size=200) | st.sampled_from([b"-----BEGIN CERTIFICATE-----"])
    )
)
def test_any_content_has_an_answer(content: dict[str, bytes]) -> None:
    data = {name: base64.b64encode(value).decode() for name, value in content.items()}
    assert isinstance(certificate_of(data), str)
    assert isinstance(certificate_of({name: value.decode("latin-1") for name, value in content.items()}), str)


@given(st.integers(0, len(GOOD["tls.crt"]) - 1), st.characters(codec="ascii"))
@example(43, "0")  # another version of X.509
@example(48, "0")  # a negative serial number
def test_a_damaged_certificate_has_an_answer(where: int, what: str) -> None:
    damaged = GOOD["tls.crt"][:where] + what + GOOD["tls.crt"][where + 1 :]
    judge(EXPOSED, certificate_of(encoded({**GOOD, "tls.crt": damaged})), NOW)


@pytest.mark.parametrize(
    ("names", "yes"),
    [
        ({HOST}, True),
        ({"*.example.com"}, True),
        ({"other.example.com", HOST}, True),
        ({"*.com"}, False),
        ({"example.com"}, False),
        ({"*.demo.example.com"}, False),
        ({"*"}, False),
        (set(), False),
    ],
)
def test_whom_it_is_for(names: set[str], yes: bool) -> None:
    assert is_for(frozenset(names), HOST) is yes


SINCE, UNTIL = NOW, NOW + timedelta(days=90)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("now", "valid", "reason", "words"),
    [
        (SINCE - SECOND, False, Reason.CERTIFICATE_NOT_YET_VALID, "is not valid before 2026-06-01T00:00:00Z"),
        (SINCE, True, Reason.SUCCEEDED, "valid until 2026-08-30T00:00:00Z"),
        (UNTIL - timedelta(days=14) - SECOND, True, Reason.SUCCEEDED, "valid until"),
        (UNTIL - timedelta(days=14), True, Reason.CERTIFICATE_EXPIRING, "expires on 2026-08-30T00:00:00Z"),
        (UNTIL - SECOND, True, Reason.CERTIFICATE_EXPIRING, "expires on"),
        (UNTIL, False, Reason.CERTIFICATE_EXPIRED, "has expired on 2026-08-30T00:00:00Z"),
    ],
)
def test_the_course_of_time(now: datetime, valid: bool, reason: Reason, words: str) -> None:
    verdict = judge(EXPOSED, Certificate(frozenset({HOST}), SINCE, UNTIL), now)
    assert (verdict.valid, verdict.reason) == (valid, reason)
    assert words in verdict.message
    assert "Secret 'demo-tls'" in verdict.message


def test_another_host() -> None:
    verdict = judge(EXPOSED, Certificate(frozenset({"b.example.com", "a.example.com"}), SINCE, UNTIL), NOW)
    assert (verdict.valid, verdict.reason) == (False, Reason.CERTIFICATE_MISMATCH)
    assert f"is for a.example.com, b.example.com, and not for {HOST}" in verdict.message
    assert "no host name" in judge(EXPOSED, Certificate(frozenset(), SINCE, UNTIL), NOW).message


@pytest.mark.parametrize(
    ("issuer", "words"),
    [(None, "create it, of type kubernetes.io/tls"), (IssuerReference(name="ca"), "kubectl describe certificate")],
)
def test_no_secret(issuer: IssuerReference | None, words: str) -> None:
    verdict = judge(Exposed(HOST, Ingress(), None, "demo-tls", issuer, 14), None, NOW)
    assert (verdict.valid, verdict.reason) == (False, Reason.CERTIFICATE_NOT_FOUND)
    assert words in verdict.message
