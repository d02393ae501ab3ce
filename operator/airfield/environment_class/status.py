"""The status of a class. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from airfield.api.conditions import verdict
from airfield.api.environment_class import AirflowEnvironmentClass, AirflowEnvironmentClassStatus, TemplateStatus
from airfield.environment.reasons import Reason
from airfield.environment_class.templates import Wanted


def class_status(
    blueprint: AirflowEnvironmentClass,
    templates: Sequence[Wanted],
    problems: Mapping[Wanted, str],
    environments: int,
    now: datetime,
) -> AirflowEnvironmentClassStatus:
    """`templates`: all that the class should have; `problems`: why some are not ready, "" while they are being made."""
    errors = sorted({problem for problem in problems.values() if problem})
    building = len(problems) - len([problem for problem in problems.values() if problem])
    generation = blueprint.metadata.generation
    return AirflowEnvironmentClassStatus(
        observed_generation=generation,
        conditions=verdict(
            blueprint.status.conditions if blueprint.status else (),
            well=not errors,
            reason=Reason.TEMPLATE_FAILED if errors else Reason.SUCCEEDED,
            message="; ".join(errors) or (f"database templates are being made: {building}" if building else ""),
            generation=generation,
            now=now,
        ),
        environments=environments,
        templates=tuple(
            TemplateStatus(
                server=template.server.name,
                version=template.entry.version,
                revision=template.revision,
                ready=template not in problems,
            )
            for template in templates
        ),
    )
