"""Every reason that a condition can give, of environments, classes and tenants.

docs/troubleshooting.md has a section for each.
"""

from enum import StrEnum


class Reason(StrEnum):
    """CamelCase words, stable: people write alerts on them."""

    # Good news.
    SUCCEEDED = "Succeeded"
    SERVING = "Serving"
    PAUSED = "Paused"
    DELETING = "Deleting"

    # Resolved.
    INVALID_SPEC = "InvalidSpec"
    NO_TENANT = "NoTenant"
    CLASS_NOT_FOUND = "ClassNotFound"
    CLASS_INVALID = "ClassInvalid"
    CLASS_NOT_ALLOWED = "ClassNotAllowed"
    STAGE_NOT_ALLOWED = "StageNotAllowed"
    VERSION_NOT_FOUND = "VersionNotFound"
    SIZE_NOT_FOUND = "SizeNotFound"
    SERVER_NOT_FOUND = "ServerNotFound"
    DATABASE_CHANGED = "DatabaseChanged"
    LABEL_MISSING = "LabelMissing"
    LABEL_REFUSED = "LabelRefused"
    POLICY_VIOLATED = "PolicyViolated"
    QUOTA_EXCEEDED = "QuotaExceeded"
    RESERVED_SETTING = "ReservedSetting"
    IDENTITY_REFUSED = "IdentityRefused"
    CEILING_EXCEEDED = "CeilingExceeded"
    EXPOSURE_REFUSED = "ExposureRefused"
    HOST_TAKEN = "HostTaken"

    # KeysReady.
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a word
    SECRET_INVALID = "SecretInvalid"  # noqa: S105 - a word
    KEY_LOST = "KeyLost"

    # DatabaseReady.
    DATABASE_UNREACHABLE = "DatabaseUnreachable"
    DATABASE_REFUSED = "DatabaseRefused"
    DATABASE_CONFLICT = "DatabaseConflict"
    DATABASE_FAILED = "DatabaseFailed"
    MIGRATING = "Migrating"
    MIGRATION_FAILED = "MigrationFailed"

    # Rendered.
    TEMPLATE_FAILED = "TemplateFailed"
    CHART_FAILED = "ChartFailed"
    NOT_ADMITTED = "NotAdmitted"

    # Applied.
    APPLY_REFUSED = "ApplyRefused"
    KIND_NOT_SERVED = "KindNotServed"

    # Healthy.
    STARTING = "Starting"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    POD_FAILING = "PodFailing"
    UNSCHEDULABLE = "Unschedulable"
    UNREACHABLE = "Unreachable"
    UNHEALTHY = "Unhealthy"
    BUNDLE_FAILED = "BundleFailed"

    # CertificateValid.
    CERTIFICATE_NOT_FOUND = "CertificateNotFound"
    CERTIFICATE_UNREADABLE = "CertificateUnreadable"
    CERTIFICATE_MISMATCH = "CertificateMismatch"
    CERTIFICATE_NOT_YET_VALID = "CertificateNotYetValid"
    CERTIFICATE_EXPIRING = "CertificateExpiring"
    CERTIFICATE_EXPIRED = "CertificateExpired"

    # Ready of a tenant.
    NAMESPACE_CONFLICT = "NamespaceConflict"
    NAMESPACE_RESERVED = "NamespaceReserved"
    NAMESPACE_DELETED = "NamespaceDeleted"
    TENANT_IN_USE = "TenantInUse"

    # Any of them.
    API_REFUSED = "ApiRefused"
    WAITING = "Waiting"
