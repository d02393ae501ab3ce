"""Where an environment's DAGs come from."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from airfield.api.base import Model, Rule, SecretReference, list_map, must_match, must_not_match

_HOST = r"([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_PATH = r"[A-Za-z0-9._~%+/@][-A-Za-z0-9._~%+/@:=&?#,!]*"
_URL: Final = (
    rf"(https?|ssh|git)://([^/@]*@)?{_HOST}(:[0-9]{{1,5}})?/{_PATH}|[A-Za-z0-9_][-A-Za-z0-9._]*@{_HOST}:{_PATH}"
)
_SEGMENT = r"\.?[A-Za-z0-9_][-A-Za-z0-9._]*"
_SPACED_SEGMENT = r"\.?[A-Za-z0-9_][-A-Za-z0-9._ ]*"

GitUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024),
    must_not_match(
        r"(https?|git)://[^/]*@.*|ssh://[^/]*:[^/]*@.*",
        "a git URL must not carry credentials: put them into a Secret and name it in credentialsSecret",
    ),
    must_match(_URL, "a git URL is https://host/path, http://, ssh:// or git:// likewise, or user@host:path"),
]
GitRef = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    must_match(
        r"[A-Za-z0-9][-A-Za-z0-9_+@#=]*([./][-A-Za-z0-9_+@#=]+)*",
        "a git ref is a branch, tag or commit: it starts with a letter or digit and has no '..', '//' or spaces",
    ),
]
Subdirectory = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    must_match(
        rf"{_SPACED_SEGMENT}(/{_SPACED_SEGMENT})*/?", "subdir is a path inside the repository: no leading '/', no '..'"
    ),
]
AbsolutePath = Annotated[
    str,
    StringConstraints(min_length=2, max_length=255),
    must_match(rf"(/{_SEGMENT})+/?", "path is an absolute path inside the image: it starts with '/' and has no '..'"),
]

REFRESH_SECONDS: Final = 60
"""How often a repository is looked at if the bundle does not say."""


class GitSource(Model):
    """DAGs from a git repository, fetched by Airflow's own git bundle."""

    url: GitUrl = Field(description="https://, http://, ssh:// or git:// URL, or user@host:path. No credentials in it.")
    ref: GitRef = Field(description="Branch, tag or commit.")
    subdir: Subdirectory | None = Field(
        default=None, description="Folder of the repository that holds the DAGs; the whole repository if absent."
    )
    credentials_secret: SecretReference | None = Field(
        default=None,
        description="Secret with `username` and `password` (or a token as password), or `ssh-privatekey` and, to check"
        " the server, `known_hosts`.",
    )
    refresh_interval_seconds: Annotated[int, Field(ge=5, le=86400)] | None = Field(
        default=None, description=f"How often the repository is looked at, in seconds; {REFRESH_SECONDS} if absent."
    )


class ImageSource(Model):
    """DAGs that are baked into the Airflow image."""

    path: AbsolutePath = Field(description="Absolute path of the folder that holds the DAGs.")


class DagBundle(Model):
    """One named source of DAGs: git or image."""

    RULES = (
        Rule(
            "has(self.git) != has(self.image)",
            "a bundle has exactly one source: git or image",
            lambda it: (it.git is None) != (it.image is None),
        ),
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")] = (
        Field(description="Name of the bundle, as Airflow shows it.")
    )
    git: GitSource | None = None
    image: ImageSource | None = None


class Dags(Model):
    """Where the DAGs come from."""

    bundles: Annotated[tuple[DagBundle, ...], Field(max_length=32), list_map("name")] = Field(
        default=(), description="Sources of DAGs; names are unique."
    )
