"""Settings that the operator owns: no class, tenant or environment may set them, in the config or as variables.

Each is either wiring that must fit the objects around it, or a credential that lives in a generated Secret.
"""

from collections.abc import Mapping
from typing import Final

from airfield.api.base import Rule

RESERVED_CONFIG: Final[Mapping[str, tuple[str, ...]]] = {
    "api": ("secret_key", "host", "port", "ssl_cert", "ssl_key"),
    "api_auth": (
        "jwt_secret",
        "jwt_private_key_path",
        "trusted_jwks_url",
        "jwt_kid",
        "jwt_algorithm",
        "jwt_issuer",
        "jwt_audience",
    ),
    "core": (
        "executor",
        "auth_manager",
        "fernet_key",
        "execution_api_server_url",
        "hostname_callable",
        "multi_team",
        "simple_auth_manager_users",
        "simple_auth_manager_all_admins",
        "sql_alchemy_conn",  # read as [database] sql_alchemy_conn
    ),
    "dag_processor": ("dag_bundle_config_list", "dag_bundle_storage_path"),
    "database": ("sql_alchemy_conn", "sql_alchemy_conn_async"),
    "execution_api": ("jwt_audience",),
    # Who is let in, and by what.
    "fab": ("auth_backends", "auth_role_public", "config_file"),
    "kubernetes_executor": (
        "namespace",
        "pod_template_file",
        "in_cluster",
        "config_file",
        "cluster_context",
        "client_factory",
        "async_client_factory",
        "async_pod_creation",
        "multi_namespace_mode",
        "multi_namespace_mode_namespace_list",
        "worker_container_repository",
        "worker_container_tag",
    ),
    "logging": ("base_log_folder", "worker_log_server_port", "trigger_log_server_port"),
    # Former names, which Airflow 3 still reads: of [api] host, port, ssl_cert, ssl_key and secret_key …
    "webserver": ("web_server_host", "web_server_port", "web_server_ssl_cert", "web_server_ssl_key", "secret_key"),
    # … and of [core] execution_api_server_url.
    "workers": ("execution_api_server_url",),
}

RESERVED_ENV: Final = ("AIRFLOW_HOME", "AIRFLOW_CONFIG", "HOME", "PYTHONPATH", "LD_PRELOAD")
RESERVED_ENV_PREFIXES: Final = ("AIRFLOW_CONN_GIT_", "AIRFIELD_")

_VARIANTS: Final = ("", "_cmd", "_secret")
"""Airflow also takes an option from the output of a command or from a secrets backend."""
RESERVED_VARIABLES: Final = (
    *(
        f"AIRFLOW__{section}__{key}{variant}".upper()
        for section, keys in RESERVED_CONFIG.items()
        for key in keys
        for variant in _VARIANTS
    ),
    *RESERVED_ENV,
)


def reserved_option(section: str, key: str) -> bool:
    """Whether `[section] key` belongs to the operator. Airflow ignores the case of both."""
    reserved = RESERVED_CONFIG.get(section.lower(), ())
    return any(key.lower() == name + variant for name in reserved for variant in _VARIANTS)


def reserved_variable(name: str) -> bool:
    """Whether the environment variable `name` belongs to the operator."""
    return name in RESERVED_VARIABLES or name.startswith(RESERVED_ENV_PREFIXES)


# `resolve` says which layer set a reserved name, so the models let it pass; and only `resolve` sees an option that is
# spelled in upper case, because the API server can bound the cost of no function of a map's key. Nor of a message that
# names the option alone: all of the section's are few enough.
CONFIG_RULES: Final = tuple(
    Rule(
        f"!('{section}' in self) || !{[*keys]}.exists(k, {[*_VARIANTS]}.exists(v, (k + v) in self['{section}']))",
        f"[{section}] {', '.join(keys)}: belong to the operator; remove what is set of them",
    )
    for section, keys in RESERVED_CONFIG.items()
)
ENV_RULE: Final = Rule(
    f"!(self in {[*RESERVED_VARIABLES]}) && !{[*RESERVED_ENV_PREFIXES]}.exists(p, self.startsWith(p))",
    "this variable belongs to the operator: Airflow's wiring, keys and database cannot be set by an environment",
)
