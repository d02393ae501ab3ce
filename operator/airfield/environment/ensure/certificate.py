"""Looks at the certificate that an environment is served with. Airflow does not wait for it: it is only told of."""

from airfield.environment.certificate import Verdict, certificate_of, judge
from airfield.environment.ensure.run import Run
from airfield.kube.kinds import Ref


async def look_at_certificate(run: Run) -> Verdict | None:
    """What is to be said of it now; None when no Secret of the environment's namespace has it.

    The Secret is read once: a watch tells when there is another one, and then the next pass begins anew. What time
    does to a certificate every pass sees, and there is one a minute.
    """
    exposed = run.effective.exposed
    if exposed is None or not exposed.secret:
        return None
    if not run.looked_at_certificate:
        namespace, kube = run.effective.namespace, run.doors.kube
        gone = run.doors.secrets.absent(namespace, exposed.secret)
        live = None if gone else await kube.get(Ref("v1", "Secret", namespace, exposed.secret))
        run.versions[exposed.secret] = live["metadata"]["resourceVersion"] if live else ""
        run.certificate = certificate_of(live.get("data") or {}) if live else None
        run.looked_at_certificate = True
    return judge(exposed, run.certificate, run.doors.clock())
