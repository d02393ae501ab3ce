"""Names that the API promises: group, labels, annotations, finalizer. Changing one breaks installed fleets."""

from typing import Final

GROUP: Final = "airfield.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FIELD_MANAGER: Final = "airfield"
FINALIZER: Final = f"{GROUP}/environment"
TENANT_FINALIZER: Final = f"{GROUP}/tenant"

LABEL_ENVIRONMENT: Final = f"{GROUP}/environment"
"""On everything that belongs to an environment: its name. Watches and pruning select by it."""
LABEL_PHASE: Final = f"{GROUP}/phase"
"""On every object of the chart: in which step of a rollout it is applied (database, schema, workloads)."""
LABEL_TENANT: Final = f"{GROUP}/tenant"
"""On everything of an environment, and on a namespace: the tenant that it belongs to."""
LABEL_CLASS: Final = f"{GROUP}/class"
LABEL_STAGE: Final = f"{GROUP}/stage"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
MANAGED_BY: Final = "airfield"

ANNOTATION_PAUSED: Final = f"{GROUP}/paused"
"""`"true"` on an environment: the operator looks, but touches nothing until it is removed. Deletion still works."""
ANNOTATION_CHANGED_BY: Final = f"{GROUP}/changed-by"
"""On our resources, the user who last changed what it says: an admission policy writes it, and nobody else can."""
ANNOTATION_MADE_FOR: Final = f"{GROUP}/made-for"
"""On a namespace that the operator made: the tenant that it was made for."""
ANNOTATION_GENERATED: Final = f"{GROUP}/generated"
"""On a generated Secret, the fingerprint that it had then."""
ANNOTATION_ACCEPT_KEY_LOSS: Final = f"{GROUP}/accept-key-loss"
"""On an environment whose Fernet Secret is lost for good, the lost key's fingerprint: a new key is made."""
