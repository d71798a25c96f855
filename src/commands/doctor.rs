//! `bench doctor`: what this machine has and lacks for generating load and watching GPUs.

use super::ceiling::Known;
use super::input::read_text;
use super::preflight::{is_fast_clock, local_ports};
use super::{Ending, Output};
use crate::diag::SourceText;
use crate::scenario::{self, Lookup};
use crate::telemetry;
use crate::units;
use std::path::Path;

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// As it should be.
    Good,
    /// A run is possible; some numbers are worse or missing.
    Weak,
    /// Runs of any size will be refused.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug)]
struct Finding {
    state: State,
    what: &'static str,
    seen: String,
    /// What to do; empty where nothing is to be done.
    advice: String,
}

fn finding(
    state: State,
    what: &'static str,
    seen: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding {
        state,
        what,
        seen: seen.into(),
        advice: advice.into(),
    }
}

/// Looks at this machine. Ends with exit code 2 where no run of any size would be possible.
pub fn doctor(results: &Path, output: Output) -> Ending {
    let findings = examine(results);
    output.result(&show(&findings));
    if findings.iter().any(|finding| finding.state == State::Bad) {
        Ending::Refused
    } else {
        Ending::Done
    }
}

fn show(findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.what.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let state = match finding.state {
            State::Good => "good",
            State::Weak => "weak",
            State::Bad => "BAD ",
        };
        text.push_str(&format!(
            "{state}  {:<width$}  {}\n",
            finding.what, finding.seen
        ));
        if finding.state != State::Good {
            text.push_str(&format!("      {:<width$}  → {}\n", "", finding.advice));
        }
    }
    let count = |state: State| {
        findings
            .iter()
            .filter(|finding| finding.state == state)
            .count()
    };
    text.push_str(&format!(
        "\n{} good, {} weak, {} bad\n",
        count(State::Good),
        count(State::Weak),
        count(State::Bad)
    ));
    text
}

fn examine(results: &Path) -> Vec<Finding> {
    let environment = telemetry::environment(results, None, Vec::new());
    let mut findings = vec![
        cores(environment.cpus),
        quota(environment.cpu_quota.as_deref()),
        governor(
            read_text(Path::new(
                "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
            ))
            .ok()
            .as_deref(),
        ),
        clock(telemetry::clock_source().as_deref()),
        descriptors(),
        ports(local_ports()),
        memory(environment.memory_bytes, telemetry::memory_limit_bytes()),
        disk(results),
        calibration(&super::ceiling::known(&environment)),
    ];
    findings.extend(gpus());
    findings
}

fn cores(cpus: usize) -> Finding {
    let seen = format!("{cpus} usable");
    if cpus >= 2 {
        finding(State::Good, "CPUs", seen, "")
    } else {
        let advice = "with one CPU, load and telemetry take turns: expect a busy generator";
        finding(State::Weak, "CPUs", seen, advice)
    }
}

fn quota(quota: Option<&str>) -> Finding {
    match quota {
        None => finding(State::Good, "CPU quota", "none", ""),
        Some(quota) => finding(
            State::Weak,
            "CPU quota",
            format!("{quota} CPUs"),
            "a quota stops the generator for milliseconds once it is used up: give whole cores (cpuset) instead",
        ),
    }
}

fn governor(governor: Option<&str>) -> Finding {
    let what = "CPU governor";
    match governor.map(str::trim) {
        None => finding(
            State::Good,
            what,
            "not visible here, as in most virtual machines",
            "",
        ),
        Some("performance") => finding(State::Good, what, "performance", ""),
        Some(other) => finding(
            State::Weak,
            what,
            other,
            "the CPU clock follows the load, which adds to short latencies: `cpupower frequency-set -g performance`",
        ),
    }
}

fn clock(source: Option<&str>) -> Finding {
    let what = "clock source";
    match source {
        Some(source) if is_fast_clock(source) => finding(State::Good, what, source, ""),
        Some(slow) => finding(
            State::Weak,
            what,
            slow,
            "reading this clock takes a microsecond or more: boot with clocksource=tsc where the CPU allows it",
        ),
        None => finding(
            State::Weak,
            what,
            "not known",
            "on Linux it stands in /sys/devices/system/clocksource",
        ),
    }
}

fn descriptors() -> Finding {
    const PLENTY: u64 = 4096;
    const LEAST: u64 = 128;
    let what = "file descriptors";
    let advice = "raise the hard limit: `ulimit -Hn 65536` as root, LimitNOFILE= of a systemd unit, \
                  `--ulimit nofile=65536` of a container";
    match telemetry::descriptors() {
        Err(reason) => finding(State::Weak, what, reason, advice),
        Ok(limits) => {
            let seen = format!(
                "{} of at most {}; bench raises the limit as far as it needs",
                units::count(limits.soft),
                units::count(limits.hard)
            );
            let state = match limits.hard {
                hard if hard >= PLENTY => State::Good,
                hard if hard >= LEAST => State::Weak,
                _ => State::Bad,
            };
            finding(state, what, seen, advice)
        }
    }
}

fn ports(ports: Option<u64>) -> Finding {
    const PLENTY: u64 = 20_000;
    let what = "local ports";
    match ports {
        None => finding(
            State::Weak,
            what,
            "not known",
            "connections to one address are limited by the ports of this host",
        ),
        Some(ports) => finding(
            if ports >= PLENTY {
                State::Good
            } else {
                State::Weak
            },
            what,
            format!("{} for connections to one address", units::count(ports)),
            "widen net.ipv4.ip_local_port_range",
        ),
    }
}

fn memory(machine: u64, limit: Option<u64>) -> Finding {
    const PLENTY: u64 = 512 * 1024 * 1024;
    let usable = limit.unwrap_or(machine).min(machine);
    finding(
        if usable >= PLENTY {
            State::Good
        } else {
            State::Weak
        },
        "memory",
        units::bytes(usable as f64),
        "a thousand connections with large answers may need more",
    )
}

fn disk(results: &Path) -> Finding {
    const PLENTY: u64 = 1024 * 1024 * 1024;
    const LEAST: u64 = 64 * 1024 * 1024;
    let existing = super::preflight::nearest_existing(results);
    let what = "disk for results";
    match telemetry::free_disk_bytes(existing) {
        Err(reason) => finding(
            State::Weak,
            what,
            reason,
            "choose another folder with --results",
        ),
        Ok(free) => finding(
            match free {
                free if free >= PLENTY => State::Good,
                free if free >= LEAST => State::Weak,
                _ => State::Bad,
            },
            what,
            format!(
                "{} free below `{}`",
                units::bytes(free as f64),
                results.display()
            ),
            "free some space, or choose another folder with --results",
        ),
    }
}

fn calibration(known: &Known) -> Finding {
    let what = "calibration";
    match known.line() {
        Some(line) if matches!(known, Known::Here(_)) => finding(State::Good, what, line, ""),
        Some(line) => finding(State::Weak, what, line, "run `bench calibrate`"),
        None => finding(
            State::Weak,
            what,
            "none: what this machine can generate is not known",
            "run `bench calibrate`; scenarios near its ceiling are then flagged before they run",
        ),
    }
}

fn gpus() -> Vec<Finding> {
    // What a scenario without a word about telemetry asks for.
    let wanted = scenario::parse(&SourceText::new("", ""), &Nothing)
        .0
        .telemetry;
    match telemetry::gpu_source(&wanted, true) {
        Ok(probe) => {
            let driver = format!("driver {}", probe.nvml().driver());
            let mut findings = vec![finding(State::Good, "GPU driver", driver, "")];
            findings.extend(probe.nvml().gpus().iter().map(|gpu| {
                let seen = format!("{}, {}", gpu.name, units::bytes(gpu.memory_bytes as f64));
                finding(State::Good, "GPU", seen, "")
            }));
            findings
        }
        Err(info) => {
            let reason = match info.state {
                crate::record::SourceState::Unavailable(reason) => reason,
                _ => "switched off".to_owned(),
            };
            let advice = "gates on GPUs of this host end inconclusive; for a service elsewhere, this does not matter";
            vec![finding(State::Weak, "GPU driver", reason, advice)]
        }
    }
}

/// No environment and no files.
struct Nothing;

impl Lookup for Nothing {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &str) -> Result<String, String> {
        Err(format!("`{path}` is not looked for"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_comes_with_advice() {
        let weak = [
            cores(1),
            quota(Some("1.5")),
            governor(Some("powersave\n")),
            clock(Some("hpet")),
            clock(None),
            ports(Some(500)),
            ports(None),
            memory(1 << 30, Some(1 << 20)),
            calibration(&Known::Nothing),
            calibration(&Known::Stale("another machine".to_owned())),
        ];
        for finding in &weak {
            assert_eq!(finding.state, State::Weak, "{finding:?}");
            assert!(!finding.advice.is_empty(), "{finding:?}");
        }
        let good = [
            cores(4),
            quota(None),
            governor(None),
            governor(Some("performance")),
            clock(Some("tsc")),
            ports(Some(28_232)),
            memory(1 << 32, None),
        ];
        assert!(good.iter().all(|finding| finding.state == State::Good));
    }

    #[test]
    fn advice_stands_below_what_is_not_good() {
        let text = show(&[cores(4), quota(Some("1.5"))]);
        insta::assert_snapshot!(text, @"
        good  CPUs       4 usable
        weak  CPU quota  1.5 CPUs
                         → a quota stops the generator for milliseconds once it is used up: give whole cores (cpuset) instead

        1 good, 1 weak, 0 bad
        ");
    }
}
