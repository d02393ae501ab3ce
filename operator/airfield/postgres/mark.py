"""The mark on a database: whose it is and which schema it holds, kept as `COMMENT ON DATABASE`."""

import json
from dataclasses import dataclass

VERSION = 1
LONGEST = 1000  # characters; a tenant may write the comment of its own database, so it is read with suspicion


@dataclass(frozen=True)
class Mark:
    environment: str  # namespace/name
    cluster: str  # uid of the cluster's kube-system namespace
    schema: str  # digest of the schema, empty while there is none

    def same_owner(self, other: "Mark | None") -> bool:
        return other is not None and (self.environment, self.cluster) == (other.environment, other.cluster)

    def dump(self) -> str:
        """One line of JSON. Raises ValueError when it would be too long to be read back."""
        text = json.dumps(
            {"airfield": VERSION, "environment": self.environment, "cluster": self.cluster, "schema": self.schema}
        )
        if len(text) > LONGEST:
            raise ValueError(f"the mark of {self.environment[:100]} has {len(text)} characters, at most {LONGEST} fit")
        return text

    @staticmethod
    def parse(comment: str | None) -> "Mark | None":
        """None when the comment is missing or not of our making."""
        if comment is None or len(comment) > LONGEST:
            return None
        try:
            found = json.loads(comment)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or found.get("airfield") != VERSION:
            return None
        match found:
            case {"environment": str(environment), "cluster": str(cluster), "schema": str(schema)}:
                return Mark(environment, cluster, schema)
        return None
