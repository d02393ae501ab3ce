"""Certificates of a test's own authority."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from localcluster.pki import usage


@dataclass(frozen=True)
class Authority:
    """Who signs. Its own certificate is valid for a day before and ten years after it is made."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False)
    name: x509.Name = field(default_factory=lambda: _name("Authority of the tests"))

    @property
    def pem(self) -> str:
        """Its certificate."""
        now = datetime.now(UTC)
        built = _builder(
            self.name, self.name, self.key.public_key(), now - timedelta(days=1), now + timedelta(days=3650)
        )
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        built = built.add_extension(usage(signs_certificates=True), critical=True)
        built = built.add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
        return built.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    def itself(self) -> dict[str, str]:
        """The content of a Secret: its certificate and its key."""
        return {"tls.crt": self.pem, "tls.key": _private(self.key)}

    def issue(
        self,
        *hosts: str,
        until: datetime | None = None,
        since: datetime | None = None,
        chain: Sequence[str] = (),
    ) -> dict[str, str]:
        """The content of a Secret: a certificate for host names, valid for 90 days unless told otherwise; its key."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        since, until = since or now - timedelta(hours=1), until or now + timedelta(days=90)
        built = _builder(_name("test"), self.name, key.public_key(), since, until)
        # Which Python 3.13 wants.
        built = built.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        if hosts:
            names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
            built = built.add_extension(names, critical=False)
        signed = built.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
        return {"tls.crt": signed + "".join(chain), "tls.key": _private(key)}


def composite() -> str:
    """An RSA key whose primes are none. To look at the primes of a key takes half a minute if they are large enough."""
    p, q, e = 3 * (2**521 - 1), 2**607 - 1, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q))
    return _private(numbers.private_key(unsafe_skip_rsa_key_validation=True))


def encoded(content: dict[str, str]) -> dict[str, str]:
    """As a Secret's data."""
    return {name: base64.b64encode(text.encode()).decode() for name, text in content.items()}


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, since: datetime, until: datetime
) -> x509.CertificateBuilder:
    built = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    return built.not_valid_before(since).not_valid_after(until)
