"""Writing documents for parsers of YAML."""

import json
import re
from typing import Any, Final

_NOT_YAML: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def as_yaml(document: Any) -> str:
    """`document` as JSON that is YAML as well: YAML has no surrogate pairs, and escapes what JSON may leave bare."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return _NOT_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
