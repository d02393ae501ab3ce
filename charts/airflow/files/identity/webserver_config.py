"""FAB's configuration with `identity`: Airflow reads it as [fab] config_file."""
# ruff: noqa: INP001 - a file of a ConfigMap
# mypy: ignore-errors

import os

from airfield_identity import PROVIDER, SETTINGS, Provider, SecurityManager
from flask_appbuilder.const import AUTH_OAUTH

_secret = os.environ.get("AIRFIELD_OIDC_CLIENT_SECRET")

AUTH_TYPE = AUTH_OAUTH
SECURITY_MANAGER_CLASS = SecurityManager
OAUTH_PROVIDERS = [
    {
        "name": PROVIDER,
        "icon": "fa-key",
        "token_key": "access_token",
        "remote_app": {
            "client_cls": Provider,
            "client_id": SETTINGS.client_id,
            "client_secret": _secret,
            "server_metadata_url": f"{SETTINGS.issuer.rstrip('/')}/.well-known/openid-configuration",
            "client_kwargs": {
                "scope": " ".join(SETTINGS.scopes),
                "code_challenge_method": "S256",
                "token_endpoint_auth_method": "client_secret_basic" if _secret else "none",
            },
        },
    }
]
