"""Airflow's FAB auth manager behind an OpenID Connect provider: only the api-server has it, and only with `identity`.

The provider says who somebody is, groups say which roles they have, each time anew. One account has a password: the
first administrator's, for when the provider is away.
"""
# ruff: noqa: INP001, ARG002 - a file of a ConfigMap, whose methods FAB calls with what it has
# Airflow and FAB are not installed where types are checked.
# mypy: ignore-errors

import logging
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from airfield_oidc import Refused, Settings, Verifier, mark, of_another, person
from airflow.configuration import conf
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from airflow.providers.fab.auth_manager.security_manager.override import (
    FabAirflowSecurityManagerOverride,
    FabException,
)
from airflow.providers.fab.auth_manager.views.auth_oauth import CustomAuthOAuthView
from airflow.providers.fab.www.views import redirect
from authlib.integrations.flask_client import FlaskOAuth2App
from authlib.integrations.requests_client import OAuth2Session
from fastapi import HTTPException
from flask import current_app, flash, g
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import no_cache
from flask_appbuilder.security.forms import LoginForm_db
from flask_login import login_user

log = logging.getLogger(__name__)

FOLDER = Path("/etc/airfield/identity")
ADMINISTRATOR = Path("/etc/airfield/administrator/username")
PROVIDER = "oidc"
SETTINGS = Settings.read(FOLDER)
LOGIN_PAGE = """
{% extends "appbuilder/general/security/login_oauth.html" %}
{% block content %}{{ super() }}
<p class="text-center"><a href="{{ url_for('LoginView.administrator') }}">Log in as the first administrator</a></p>
{% endblock %}
"""


class Session(OAuth2Session):
    """Asks the provider, and believes the class's authorities: REQUESTS_CA_BUNDLE would go before a session's own."""

    def request(self, *args: Any, **kwargs: Any) -> Any:
        return super().request(*args, **{"verify": SETTINGS.ca or None, "timeout": 10, **kwargs})


class Provider(FlaskOAuth2App):
    client_cls = Session

    def authorize_redirect(self, redirect_uri: str | None = None, **kwargs: Any) -> Any:
        """To where Airflow says that it is, if it does: proxies may not say how people have come."""
        base = conf.get("api", "base_url", fallback="") or ""
        if redirect_uri and base.startswith(("https://", "http://")):
            redirect_uri = base.rstrip("/") + urlsplit(redirect_uri).path.removeprefix(urlsplit(base).path.rstrip("/"))
        return super().authorize_redirect(redirect_uri, **kwargs)

    def load_server_metadata(self) -> Any:
        try:
            return super().load_server_metadata()
        except (requests.RequestException, ValueError) as error:
            log.warning("no answer from the provider: %s", error)
            raise Refused("The provider does not answer.") from error


class LoginView(CustomAuthOAuthView):
    """The page with the provider's button, and the administrator's form. A refusal says why."""

    @property
    def invalid_login_message(self) -> str:
        return g.get("airfield_refusal") or "You cannot be logged in now. Try again later."

    @expose("/login/")
    @expose("/login/<provider>")
    @no_cache
    def login(self, provider: str | None = None) -> Any:
        if provider is None and not g.user.is_authenticated:
            page = current_app.jinja_env.from_string(LOGIN_PAGE)
            return self.render_template(page, providers=self.appbuilder.sm.oauth_providers, title=self.title)
        return super().login(provider)

    @expose("/login/administrator", methods=["GET", "POST"])
    @no_cache
    def administrator(self) -> Any:
        form = LoginForm_db()
        if form.validate_on_submit():
            user = self.appbuilder.sm.auth_user_db(form.username.data, form.password.data)
            if user is not None:
                login_user(user)
                return redirect(self.appbuilder.get_url_for_index)
            flash("This is not the first administrator's name and password.", "warning")
        return self.render_template("appbuilder/general/security/login_db.html", title=self.title, form=form)


class SecurityManager(FabAirflowSecurityManagerOverride):
    """Accounts follow the provider: made, given their roles and deprived of them at each login."""

    authoauthview = LoginView

    @cached_property
    def verifier(self) -> Verifier:
        return Verifier(SETTINGS, self.oauth_remotes[PROVIDER].load_server_metadata)

    def set_oauth_session(self, provider: str, oauth_response: Any) -> None:
        """The provider's tokens are kept nowhere: nothing asks it anything in somebody's name."""

    def oauth_user_info(self, provider: str, resp: Any) -> Any:
        """The claims of the ID token, whose nonce authlib has compared."""
        try:
            return self.verifier.claims(resp["id_token"], SETTINGS.client_id)
        except Refused as refusal:
            g.airfield_refusal = str(refusal)
            raise

    def auth_user_oauth(self, userinfo: Any, rotate_session_id: bool = True) -> Any:
        try:
            return self.admitted(userinfo, rotate_session_id)
        except Refused as refusal:
            g.airfield_refusal = str(refusal)
            return None

    def admitted(self, claims: Any, rotate_session_id: bool) -> Any:
        """The account that verified claims are about, with the roles that they give. Raises Refused."""
        who = person(claims, SETTINGS)
        user = self.find_user(username=who.username)
        if self._is_administrator(user.username if user else who.username):
            raise Refused(f"{who.username!r} is the first administrator, who is not the provider's to name.")
        if user is not None and user.username != who.username:  # FAB finds names whatever their case
            raise Refused(
                f"There is an account {user.username!r} already: yours, {who.username!r}, is no other to Airflow."
            )
        if user is not None and not user.is_active:
            raise Refused(f"The account {who.username!r} has been deactivated in this environment.")
        whose = mark(who.subject, SETTINGS)
        if user is not None and of_another(user.password or "", whose):
            log.warning(
                "refused %r: the account is of another with that name (%s)", who.username, SETTINGS.subject_claim
            )
            raise Refused(
                f"The account {who.username!r} was made for somebody else, whom the provider called so before you"
                f" (claim {SETTINGS.subject_claim!r}). An Admin of this environment may delete it; then log in again."
            )
        roles = [role for name in sorted(who.roles) if (role := self.find_role(name))]
        if user is not None:
            user.roles = roles
            if roles:  # a stranger makes no account, and takes none
                user.password = whose
            self.update_user(user)
        if not roles:
            log.warning("refused %r: none of the groups has a role here", who.username)
            raise Refused(
                f"You are {who.username!r} to the provider, but none of your groups has a role in this environment."
                " Ask those who own it."
            )
        if user is None:
            email = f"{who.username}@{urlsplit(SETTINGS.issuer).hostname}"
            try:
                user = self.add_user(who.username, who.first_name, who.last_name, email, roles, hashed_password=whose)
            except FabException as error:  # somebody of that name came in at the same moment
                raise Refused("Your account is just being made. Try again.") from error
        if rotate_session_id:
            self._rotate_session_id()
        self.update_user_auth_stat(user)
        return user

    def auth_user_db(self, username: str, password: str, rotate_session_id: bool = True) -> Any:
        """Only the first administrator has a password."""
        if not self._is_administrator(username):
            log.warning("refused %r: only the first administrator logs in by password", username)
            return None
        return super().auth_user_db(username, password, rotate_session_id)

    def reset_password(self, userid: Any, password: str) -> Any:
        """A password would not work, and would be kept in place of whose the account is."""
        user = self.get_user_by_id(userid)
        if user is None or not self._is_administrator(user.username):
            log.warning("no password is set for %r: only the first administrator has one", user and user.username)
            return False
        return super().reset_password(userid, password)

    @staticmethod
    def _is_administrator(username: str) -> bool:
        return str(username).casefold() == ADMINISTRATOR.read_text(encoding="utf-8").strip().casefold()


class AuthManager(FabAuthManager):
    """Also exchanges the provider's tokens for Airflow's: POST /auth/token {"token": …}."""

    def create_token(self, headers: Any, body: Any) -> Any:
        if "token" not in body:
            return super().create_token(headers, body)
        sm = self.security_manager
        try:
            claims = sm.verifier.claims(str(body["token"]), SETTINGS.audience)
            return sm.admitted(claims, rotate_session_id=False)
        except Refused as refusal:
            log.info("refused a token: %s", refusal)
            raise HTTPException(401, str(refusal)) from None
