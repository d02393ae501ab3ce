"""Secrets: which are made, which are asked for, which are lost; and what is made out of the users' own."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.api.dags import DagBundle
from airfield.api.environment import KeyStatus
from airfield.environment.connections import connection_content, git_connection
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.reasons import Reason
from airfield.environment.resolve import Effective
from airfield.environment.secrets import (
    FIELDS,
    Key,
    SecretFact,
    check_names,
    check_port,
    check_secrets,
    fernet_fingerprints,
    fingerprint,
    missing_keys,
    references,
)
from builders import effective, environment, git_bundle

EXTERNAL = {"external": {"secret": {"name": "given"}}}


def fact(name: str, *fields: str, problem: str | None = None, made_for: str = "") -> dict[str, SecretFact]:
    return {name: SecretFact(name, "0" * 16, frozenset(fields), problem=problem, made_for=made_for)}


def generated(*without: Key) -> dict[str, SecretFact]:
    """The facts when all generated Secrets are there, but some."""
    found: dict[str, SecretFact] = {}
    for key in Key:
        if key not in without:
            found |= fact(key.secret("demo"), *FIELDS[key])
    return found


def known(*keys: Key) -> list[KeyStatus]:
    return [KeyStatus(name=key.value, secret=key.secret("demo"), fingerprint="0" * 16) for key in keys]


@pytest.mark.parametrize(
    ("database", "there", "before", "accepted", "missing"),
    [
        ({"embedded": {}}, [], [], "", [*Key]),
        ({"embedded": {}}, [*Key], [*Key], "", []),
        ({"embedded": {}}, [Key.FERNET], [], "", [Key.API, Key.JWT, Key.ADMIN, Key.DATABASE]),
        (EXTERNAL, [], [], "", [Key.FERNET, Key.API, Key.JWT, Key.ADMIN]),
        # Everything but the Fernet key can be made anew.
        ({"embedded": {}}, [Key.FERNET], [*Key], "", [Key.API, Key.JWT, Key.ADMIN, Key.DATABASE]),
        ({"embedded": {}}, [], [*Key], "0" * 16, [*Key]),
        ({"embedded": {}}, [], [Key.API], "", [*Key]),
    ],
)
def test_missing_keys(
    database: dict[str, object], there: list[Key], before: list[Key], accepted: str, missing: list[Key]
) -> None:
    facts = generated(*set(Key) - set(there))
    assert missing_keys(effective(environment(database=database)), facts, known(*before), accepted=accepted) == tuple(
        missing
    )


def test_accepting_the_loss_of_one_key_is_not_accepting_the_next() -> None:
    assert isinstance(missing_keys(effective(), generated(Key.FERNET), known(*Key), accepted="1" * 16), Stall)


A, B, C = (fernet_fingerprints(text)[0] for text in ("former", "next", "other"))


@pytest.mark.parametrize(
    ("now", "problem", "before", "accepted", "lost"),
    [
        ((A,), None, A, "", False),
        ((B, A), None, A, "", False),
        ((B,), None, B, "", False),
        ((B,), None, A, "", True),
        ((B, C), None, A, "", True),
        ((B,), None, A, A, False),
        ((B,), None, A, C, True),
        ((B,), "is none", A, "", False),  # says so itself, and its fingerprint is not kept
    ],
)
def test_another_fernet_key_is_a_lost_one(
    now: tuple[str, ...], problem: str | None, before: str, accepted: str, lost: bool
) -> None:
    name = Key.FERNET.secret("demo")
    there = {**generated(), name: SecretFact(name, now[0], frozenset({"fernet-key"}), problem=problem, keys=now)}
    status = KeyStatus(name="fernet", secret=name, fingerprint=before)
    found = missing_keys(effective(), there, [status], accepted=accepted)
    assert isinstance(found, Stall) is lost
    if isinstance(found, Stall):
        assert found.reason is Reason.KEY_LOST
        for words in ("'demo-fernet' now holds another key", "NEW,FORMER", f"accept-key-loss={A}`"):
            assert words in found.message


def test_the_fingerprint_of_a_single_fernet_key_is_that_of_its_secret() -> None:
    assert fernet_fingerprints("key") == (fingerprint({"fernet-key": "a2V5"}, ""),)
    assert fernet_fingerprints("new, key") == (*fernet_fingerprints("new"), *fernet_fingerprints("key"))


@pytest.mark.parametrize("name", ["demo-fernet", "demo-database", "demo-git-main"])
def test_a_users_secret_must_not_have_the_name_of_one_of_ours(name: str) -> None:
    bundle = git_bundle("main", credentialsSecret={"name": name})
    found = check_names(effective(environment(dags={"bundles": [bundle]})))
    assert isinstance(found, Stall)
    assert found.reason is Reason.SECRET_INVALID
    for words in ("dags.bundles[main].git.credentialsSecret", repr(name), "give yours another name"):
        assert words in found.message


def test_a_lost_fernet_key_is_never_replaced_by_itself() -> None:
    found = missing_keys(effective(), generated(Key.FERNET), known(*Key), accepted="")
    assert isinstance(found, Stall)
    assert found.reason is Reason.KEY_LOST
    for words in (
        "'demo-fernet'",
        "Restore it from a backup",
        "kubectl annotate afenv demo airfield.dev/accept-key-loss=0000000000000000",
    ):
        assert words in found.message


def spec(**fields: object) -> Effective:
    return effective(environment(**fields))


BUNDLE = spec(dags={"bundles": [git_bundle("dags", credentialsSecret={"name": "login"})]})
VARIABLE = spec(env=[{"name": "TOKEN", "secretKeyRef": {"name": "login", "key": "token"}}])
DATABASE = spec(database=EXTERNAL)


@pytest.mark.parametrize(
    ("specification", "facts", "outcome", "words"),
    [
        (spec(), {}, Done(), ()),
        (spec(dags={"bundles": [git_bundle()]}, env=[{"name": "A", "value": "b"}]), {}, Done(), ()),
        (BUNDLE, {}, Wait, ("dags.bundles[dags].git.credentialsSecret", "'login'", "'team-a'; create it")),
        (BUNDLE, fact("login", "user"), Wait, ("lacks the key password or ssh-privatekey", "add it")),
        (BUNDLE, fact("login", "password"), Done(), ()),
        (BUNDLE, fact("login", "ssh-privatekey"), Done(), ()),
        (VARIABLE, {}, Wait, ("env[TOKEN].secretKeyRef: Secret 'login' does not exist", "create it")),
        (VARIABLE, fact("login", "other"), Wait, ("lacks the key token",)),
        (VARIABLE, fact("login", "token"), Done(), ()),
        # The operator's own are for one environment each; an orphaned database may be wanted again.
        (
            VARIABLE,
            fact("login", "token", made_for="x"),
            Stall,
            ("is one that the operator makes for environment 'x'",),
        ),
        (BUNDLE, fact("login", "password", made_for="x"), Stall, ("it is for that one alone; name one of your own",)),
        (DATABASE, fact("given", "host", "database", "username", "password", made_for="x"), Done(), ()),
        (DATABASE, {}, Wait, ("database.external.secret: Secret 'given'",)),
        (DATABASE, fact("given", "host", "database", "username"), Wait, ("host, database, username, password",)),
        (DATABASE, fact("given", "host", "database", "username", "password"), Done(), ()),
        (spec(), fact("demo-fernet", problem="is odd"), Stall, ("Secret 'demo-fernet': is odd", "Correct it")),
        # What is wrong with a Secret that a user made only matters where its keys are used.
        (BUNDLE, fact("login", "password", problem="key 'x' is not text"), Done(), ()),
    ],
)
def test_check_secrets(
    specification: Effective, facts: dict[str, SecretFact], outcome: Outcome | type, words: tuple[str, ...]
) -> None:
    found = check_secrets(specification, facts)
    if isinstance(outcome, Done):
        assert found == outcome
    else:
        assert isinstance(found, Wait | Stall)
        assert type(found) is outcome
        assert found.reason is (Reason.SECRET_INVALID if outcome is Stall else Reason.SECRET_NOT_FOUND)
        for word in words:
            assert word in found.message


def test_references_are_all_that_the_user_points_to() -> None:
    everything = spec(
        dags={"bundles": [git_bundle("a", credentialsSecret={"name": "x"}), {"name": "b", "image": {"path": "/b"}}]},
        env=[{"name": "T", "secretKeyRef": {"name": "y", "key": "k"}}, {"name": "V", "value": "v"}],
        database=EXTERNAL,
    )
    assert [reference.secret for reference in references(everything)] == ["x", "y", "given"]


def test_a_fingerprint_tells_a_change_but_not_the_order() -> None:
    assert fingerprint({"a": "1", "b": "2"}, "key") == fingerprint({"b": "2", "a": "1"}, "key")
    different: tuple[dict[str, str], ...] = ({}, {"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "2"})
    assert len({fingerprint(data, "key") for data in different}) == 5
    assert fingerprint({"a": "1"}, "key") != fingerprint({"a": "1"}, "another")


@pytest.mark.parametrize(
    ("port", "fine"),
    [
        *((port, True) for port in ("1", "5432", "65535")),
        *((port, False) for port in ("0", "65536", "", "abc", "-1", "5432 ", "\u0665", "\u00b2", "9" * 5000)),
    ],
)
def test_ports(port: str, fine: bool) -> None:
    assert (check_port(port) is None) is fine


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(database=TEXT, username=TEXT, password=TEXT)
def test_whatever_is_in_a_login_the_url_means_the_same(database: str, username: str, password: str) -> None:
    content = connection_content(host="db", port="5432", database=database, username=username, password=password)
    assert set(content) == set(FIELDS[Key.DATABASE])
    url = urlsplit(content["uri"])
    assert (url.scheme, url.hostname, url.port, url.query, url.fragment) == ("postgresql+psycopg2", "db", 5432, "", "")
    assert (unquote(url.username or ""), unquote(url.password or "")) == (username, password)
    assert unquote(url.path[1:]) == database


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    content = connection_content(host="2001:db8::1", port="1", database="d", username="u", password="p")
    assert content["uri"] == "postgresql+psycopg2://u:p@[2001:db8::1]:1/d"
    assert content["host"] == "2001:db8::1"


BASE = {"conn_type": "git", "host": "https://git.example.com/dags.git"}


@pytest.mark.parametrize(
    ("credentials", "connection"),
    [
        ({"username": "jo", "password": "s3cr:t@/"}, {**BASE, "login": "jo", "password": "s3cr:t@/"}),
        ({"password": "token"}, {**BASE, "login": "git", "password": "token"}),
        ({"ssh-privatekey": "KEY\n"}, {**BASE, "extra": {"private_key": "KEY\n"}}),
        (
            {"ssh-privatekey": "KEY\n", "known_hosts": "host ssh-ed25519 A", "password": "unused"},
            {
                **BASE,
                "extra": {
                    "private_key": "KEY\n",
                    "strict_host_key_checking": "yes",
                    "known_hosts_file": "/etc/airfield/git/main/known_hosts",
                },
            },
        ),
    ],
)
def test_git_connections(credentials: dict[str, str], connection: dict[str, object]) -> None:
    assert git_connection(DagBundle.model_validate(git_bundle()), credentials) == connection


def test_a_bundle_in_an_image_has_no_connection() -> None:
    with pytest.raises(ValueError, match="'baked' is not from git"):
        git_connection(DagBundle.model_validate({"name": "baked", "image": {"path": "/dags"}}), {})
