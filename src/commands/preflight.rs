//! Looks before it leaps: what this machine and the target must offer before any load is sent.

use super::input::CommandError;
use crate::engine::ports::{Client, RunClock, Slot, Target};
use crate::engine::{self, Errand};
use crate::plan::{Plan, Unit};
use crate::record::{Doubt, Environment, Outcome};
use crate::schedule::Load;
use crate::telemetry;
use crate::units;
use rand_pcg::Pcg64Mcg;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// Descriptors beside the connections: journal, libraries, runtimes of the workers, telemetry.
const OWN_DESCRIPTORS: u64 = 64;
const DESCRIPTORS_PER_WORKER: u64 = 8;

/// Checks this machine, and raises limits where it may.
///
/// # Errors
/// What is lacking, and what to do about it.
pub(super) fn check_machine(plan: &Plan, results: &Path) -> Result<(), CommandError> {
    let connections = u64::from(plan.most_connections());
    let needed = connections + OWN_DESCRIPTORS + DESCRIPTORS_PER_WORKER * plan.workers as u64;
    telemetry::raise_descriptors(needed).map_err(|reason| {
        CommandError::setup(
            format!("{connections} connections need {needed} file descriptors: {reason}"),
            "raise the limit, as root with `ulimit -Hn`, in the service unit with LimitNOFILE=, \
             or in the container's settings; or lower `concurrency` or `max_in_flight`",
        )
    })?;
    if let Some(range) = local_ports()
        && connections > range
    {
        return Err(CommandError::setup(
            format!(
                "{connections} connections to one address need as many local ports, and there \
                     are {range} (net.ipv4.ip_local_port_range)"
            ),
            "widen the range, or lower `concurrency` or `max_in_flight`",
        ));
    }
    let needed = disk_needed(plan);
    match telemetry::free_disk_bytes(nearest_existing(results)) {
        Ok(free) if free < needed => Err(CommandError::setup(
            format!(
                "`{}` has {} free, and this run may need {}",
                results.display(),
                units::bytes(free as f64),
                units::bytes(needed as f64)
            ),
            "free some space, or put the results elsewhere with --results",
        )),
        // Where it cannot be told, the run itself will.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// How many local ports there are for connections to one address; `None` where the kernel does not tell.
pub(super) fn local_ports() -> Option<u64> {
    let ports = telemetry::ephemeral_ports()?;
    Some(u64::from(ports.end() - ports.start()) + 1)
}

/// What about this machine makes measurements on it worse, without keeping a run from beginning.
pub(super) fn machine_doubts(
    plan: &Plan,
    environment: &Environment,
    ports: Option<u64>,
) -> Vec<Doubt> {
    [
        small_quota(plan.workers, environment.cpu_quota.as_deref()),
        environment
            .clock_source
            .as_deref()
            .filter(|source| !is_fast_clock(source))
            .map(|source| {
                format!(
                    "its clock `{source}` takes a microsecond or more to be read, which adds to every \
                     latency; boot with clocksource=tsc where the CPU allows it"
                )
            }),
        ports.and_then(|ports| few_ports(plan, ports)),
    ]
    .into_iter()
    .flatten()
    .map(|reason| Doubt::PoorMachine { reason })
    .collect()
}

/// A quota stops all threads once it is used up, for the rest of its period.
fn small_quota(workers: usize, quota: Option<&str>) -> Option<String> {
    let cpus: f64 = quota?.parse().ok()?;
    (cpus < workers as f64).then(|| {
        format!(
            "a quota of {} CPUs stops its {workers} workers for milliseconds once it is used up; raise \
             it, give whole cores (cpuset), or use fewer --workers",
            units::number(cpus)
        )
    })
}

/// Whether reading this clock of the kernel is a matter of nanoseconds.
pub(super) fn is_fast_clock(source: &str) -> bool {
    matches!(
        source,
        "tsc" | "kvm-clock" | "arch_sys_counter" | "hyperv_clocksource_tsc_page" | "xen"
    )
}

/// Ports of closed connections stay taken for a minute, on the side that closes, which is this one.
fn few_ports(plan: &Plan, ports: u64) -> Option<String> {
    const HELD: Duration = Duration::from_mins(1);
    let uses = plan.target.most_uses?;
    let rate: f64 = plan
        .phases
        .iter()
        .filter_map(|phase| match &phase.load {
            Load::Open(open) => Some(open.arrivals.rate().peak()),
            Load::Closed(_) => None,
        })
        .fold(0.0, f64::max);
    let needed = rate / uses.max(1) as f64 * HELD.as_secs_f64();
    (needed > ports as f64).then(|| {
        format!(
            "{}/s with connections of {uses} uses take {} local ports, each for a minute, and there are \
             {}; widen net.ipv4.ip_local_port_range, or keep connections longer",
            units::number(rate),
            units::number(needed),
            units::count(ports)
        )
    })
}

/// Room for the journal of the planned time and for the reports, on the safe side.
fn disk_needed(plan: &Plan) -> u64 {
    const REPORTS: u64 = 32 * 1024 * 1024;
    const JOURNAL_PER_SECOND: u64 = 16 * 1024;
    let seconds = plan
        .planned_length()
        .map_or(600, |length| length.as_secs() + 60);
    REPORTS + seconds * JOURNAL_PER_SECOND
}

/// The folder of results may still have to be made.
pub(super) fn nearest_existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|ancestor| ancestor.is_dir())
        .unwrap_or(Path::new("."))
}

/// Sends every request and runs every flow that the plan uses once, and expects the right answers.
///
/// # Errors
/// What was not as expected.
pub(super) async fn check_target<T: Target>(plan: &Plan, target: &T) -> Result<(), String> {
    let used: BTreeSet<usize> = plan
        .phases
        .iter()
        .flat_map(|phase| phase.mix.requests())
        .collect();
    let mut slot = target.client().open();
    for unit in used {
        check_unit(plan, &plan.units[unit], &mut slot).await?;
    }
    Ok(())
}

/// A target that has just been started may stumble once: three tries, half a second apart.
async fn check_unit<S: Slot>(plan: &Plan, unit: &Unit, slot: &mut S) -> Result<(), String> {
    const TRIES: u64 = 3;
    const PAUSE: Duration = Duration::from_millis(500);
    let mut last = String::new();
    let mut failed = None;
    for number in 0..TRIES {
        if number > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let mut random = Pcg64Mcg::new(u128::from(plan.seed));
        let clock = RunClock::start();
        let errand = Errand {
            number,
            intended_ns: 0,
            taken_ns: 0,
            clock,
            timeout: plan.target.timeout,
            random: &mut random,
            token_events: &Cell::new(0),
        };
        let (exchange, step) = engine::send(unit, slot, errand, &()).await;
        if exchange.outcome == Outcome::Ok {
            return Ok(());
        }
        failed = step;
        exchange.outcome.as_str().clone_into(&mut last);
        if let Some(failure) = exchange.failure {
            last = format!("{last} ({})", failure.detail);
            if !failure.body.is_empty() {
                let line = failure.body.lines().next().unwrap_or_default();
                last = format!("{last}; the answer begins with `{line}`");
            }
        }
    }
    let (of_flow, request) = match unit {
        Unit::Request(send) => (String::new(), send.request),
        Unit::Flow(flow) => {
            let step = failed.unwrap_or(&flow.steps[0]);
            (format!("{}/", flow.name), step.send.request)
        }
    };
    let request = &plan.requests[request];
    Err(format!(
        "the target did not answer `{of_flow}{}` ({} {}) as expected: {last}",
        request.name, request.method, request.shown_path
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::SourceText;
    use crate::plan::{self, Facts};
    use crate::scenario::{self, Lookup};

    struct Nothing;

    impl Lookup for Nothing {
        fn variable(&self, _name: &str) -> Option<String> {
            None
        }

        fn file(&self, path: &str) -> Result<String, String> {
            Err(path.to_owned())
        }
    }

    fn plan_of(target: &str, load: &str) -> Plan {
        let text = format!(
            "name = \"x\"\n[target]\nurl = \"http://a\"\n{target}\n[request.a]\npath = \"/\"\n\
             [[phase]]\nname = \"p\"\n{load}\nduration = \"60s\"\n"
        );
        let source = SourceText::new("x.toml", text);
        let (scenario, found) = scenario::parse(&source, &Nothing);
        assert!(found.is_empty(), "{found}");
        let facts = Facts {
            cores: 2,
            ..Facts::default()
        };
        plan::compile(&scenario, &facts, 1).unwrap()
    }

    #[test]
    fn what_makes_a_machine_poor_is_said_before_any_load() {
        let check = |plan: &Plan, quota: Option<&str>, clock: &str, wanted: &[&str]| {
            let environment = Environment {
                cpu_quota: quota.map(str::to_owned),
                clock_source: Some(clock.to_owned()),
                ..Environment::default()
            };
            let doubts = machine_doubts(plan, &environment, Some(28_232));
            assert_eq!(doubts.len(), wanted.len(), "{doubts:?}");
            for (doubt, wanted) in doubts.iter().zip(wanted) {
                assert!(doubt.to_string().contains(wanted), "{doubt}");
                assert!(!doubt.undermines_requests());
            }
        };
        let plain = plan_of("", "rate = 1000");
        check(&plain, None, "tsc", &[]);
        check(&plain, Some("2"), "kvm-clock", &[]);
        check(&plain, Some("1.5"), "hpet", &["a quota of 1.5", "`hpet`"]);
        let new = "connections = \"per-request\"";
        let short = plan_of(new, "rate = 1000");
        check(&short, None, "tsc", &["local ports, each for a minute"]);
        check(&plan_of(new, "rate = 400"), None, "tsc", &[]);
    }
}
