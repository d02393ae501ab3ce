"""Whether the certificate in a Secret does for a host name, and for how long. Pure."""

import base64
import binascii
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.utils import CryptographyDeprecationWarning

from airfield.api.conditions import timestamp
from airfield.environment.exposure import Exposed
from airfield.environment.reasons import Reason

FIELDS: Final = ("tls.crt", "tls.key")
MOST: Final = 65536
"""Characters of a field, as base64: a chain of ten certificates has a quarter of them."""
_UNREADABLE: Final = (
    *(ValueError, TypeError, UnsupportedAlgorithm),
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
)
"""What the library raises for one thing or another that is no certificate, or no key."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a Secret holds."""

    names: frozenset[str]
    """The DNS names that it is for; with a `*` for any first label."""
    not_before: datetime
    not_after: datetime
    """When the first of the chain expires."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the condition CertificateValid says."""

    valid: bool
    reason: Reason
    message: str


def certificate_of(data: Mapping[str, str]) -> Certificate | str:
    """Read a Secret's data, as base64; a text says what is wrong with it, and never quotes the private key."""
    found: dict[str, bytes] = {}
    for field in FIELDS:
        if not data.get(field):
            return f"lacks the key {field}"
        if len(data[field]) > MOST:
            return f"{field} has more than {MOST} characters"
        try:
            found[field] = base64.b64decode(data[field], validate=True)
        except (binascii.Error, ValueError):
            return f"{field} is not base64"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # of what a later version will refuse
            chain = x509.load_pem_x509_certificates(found["tls.crt"])
        public = chain[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        certificate = Certificate(
            names=_names(chain[0]),
            not_before=max(each.not_valid_before_utc for each in chain),
            not_after=min(each.not_valid_after_utc for each in chain),
        )
    except _UNREADABLE:
        return "tls.crt holds no certificates in PEM"
    try:
        # Only the public halves are compared. To look for the primes of a large RSA key would take half a minute.
        key = load_pem_private_key(found["tls.key"], None, unsafe_skip_rsa_key_validation=True)
        mine = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except _UNREADABLE:
        return "tls.key holds no private key in PEM, or one with a password"
    if mine != public:
        return "tls.key is not the key of the first certificate in tls.crt"
    return certificate


def _names(certificate: x509.Certificate) -> frozenset[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name.lower() for name in found.value.get_values_for_type(x509.DNSName))


def is_for(names: frozenset[str], host: str) -> bool:
    """Whether a certificate for these names is one for the host; a `*` stands for one label."""
    return bool(names & {host, f"*.{host.partition('.')[2]}"})


def judge(exposed: Exposed, found: Certificate | str | None, now: datetime) -> Verdict:
    """What to say of the certificate that an environment is served with.

    `found`: what its Secret holds; a text: what is wrong with that; None: there is no such Secret.
    """
    secret, host = exposed.secret, exposed.host
    where = f"Secret {secret!r}"
    if found is None:
        who = (
            f"cert-manager puts it there: `kubectl describe certificate {secret}` says how far it is"
            if exposed.issuer
            else "create it, of type kubernetes.io/tls"
        )
        return Verdict(False, Reason.CERTIFICATE_NOT_FOUND, f"{where} does not exist; {who}")
    if isinstance(found, str):
        return Verdict(False, Reason.CERTIFICATE_UNREADABLE, f"{where}: {found}; replace it")
    if not is_for(found.names, host):
        known = ", ".join(sorted(found.names)[:5]) or "no host name"
        said = f"{where}: the certificate is for {known}, and not for {host}; replace it"
        return Verdict(False, Reason.CERTIFICATE_MISMATCH, said)
    if now < found.not_before:
        said = f"{where}: the certificate is not valid before {timestamp(found.not_before)}"
        return Verdict(False, Reason.CERTIFICATE_NOT_YET_VALID, f"{said}; wait, or replace it")
    end = timestamp(found.not_after)
    if now >= found.not_after:
        return Verdict(False, Reason.CERTIFICATE_EXPIRED, f"{where}: the certificate has expired on {end}; replace it")
    if now >= found.not_after - timedelta(days=exposed.warning_days):
        return Verdict(True, Reason.CERTIFICATE_EXPIRING, f"{where}: the certificate expires on {end}; replace it")
    return Verdict(True, Reason.SUCCEEDED, f"{where}: valid until {end}")
