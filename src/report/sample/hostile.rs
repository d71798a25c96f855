//! A record in which every text of users and servers is an attack.
//!
//! Nobody writes such a scenario; whoever can, must not get anything out of it.

use super::{Run, all_failed};
use crate::record::{Cause, Doubt, Errors, Failure, Outcome, SourceState};
use crate::verdict::{gates_of, judge};

/// Markup for HTML, XML, Markdown and terminals.
const EVIL: &str = "<x-evil>\"'`|&\u{7}\n</script><script>alert(1)</script>]]>";

/// Markup that must never come out of a report alive, in every text that users and servers write.
pub(crate) fn hostile() -> Run {
    let (mut record, _) = all_failed().clone();
    let header = &mut record.header;
    let environment = &mut header.environment;
    for text in [
        &mut header.id,
        &mut header.scenario.name,
        &mut header.scenario.file,
        &mut header.scenario.sha256,
        &mut header.scenario.text,
        &mut header.target.url,
        &mut header.target.misbehaviour,
        &mut header.requests[0].name,
        &mut header.phases[0].name,
        &mut environment.bench_version,
        &mut environment.host,
        &mut environment.kernel,
        &mut environment.cpu,
        &mut environment.gpus[0].name,
    ] {
        EVIL.clone_into(text);
    }
    EVIL.clone_into(&mut header.requests[0].path);
    EVIL.clone_into(&mut environment.gpus[0].uuid);
    environment.git_commit = Some(EVIL.to_owned());
    environment.git_branch = Some(EVIL.to_owned());
    environment.cpu_quota = Some(EVIL.to_owned());
    environment.gpu_driver = Some(EVIL.to_owned());
    EVIL.clone_into(&mut record.phases[0].info.name);
    let mut errors = Errors::default();
    let failure = Failure {
        cause: Cause::NotJson,
        detail: EVIL.to_owned(),
        body: EVIL.to_owned(),
    };
    errors.add((0, None), Outcome::FailedCheck, failure, 1);
    record.phases[0].errors.merge(errors);
    record.doubts.push(Doubt::TelemetryLost {
        source: EVIL.to_owned(),
        at_ns: 1,
        reason: EVIL.to_owned(),
    });
    record.doubts.push(Doubt::Simulated {
        source: EVIL.to_owned(),
    });
    record.doubts.push(Doubt::Preflight {
        reason: EVIL.to_owned(),
    });
    record.sources[0].info.state = SourceState::Unavailable(EVIL.to_owned());
    let gates = gates_of(&record).expect("the gates are valid");
    let mut judgement = judge(&record, &gates);
    for result in &mut judgement.gates {
        EVIL.clone_into(&mut result.reason);
        EVIL.clone_into(&mut result.gate.text);
        EVIL.clone_into(&mut result.gate.scope.name);
    }
    EVIL.clone_into(&mut judgement.headline);
    (record, judgement)
}
