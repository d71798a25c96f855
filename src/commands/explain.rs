//! `bench explain CODE`: what a finding or a doubt means, why it matters, and what to do.
//!
//! Codes of findings stand in brackets in diagnostics; those of doubts and causes in `run.json`.

use super::input::CommandError;
use super::{Ending, Output};
use crate::diag::nearest;

/// An explanation.
#[derive(Debug)]
struct Explanation {
    code: &'static str,
    /// One line.
    what: &'static str,
    /// Why it matters, and what to do.
    text: &'static str,
}

/// Explains a code, or lists all of them.
///
/// # Errors
/// When there is no such code.
pub fn explain(code: Option<&str>, output: Output) -> Result<Ending, CommandError> {
    let Some(code) = code else {
        output.result(&list());
        return Ok(Ending::Done);
    };
    // As it stands in a diagnostic, in JSON, or as people type it.
    let wanted = code
        .trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_ascii_lowercase()
        .replace('_', "-");
    let found = all().find(|explanation| explanation.code == wanted);
    let Some(found) = found else {
        let near = nearest(&wanted, all().map(|explanation| explanation.code));
        return Err(CommandError::setup(
            format!("there is no code `{code}`"),
            near.map_or_else(
                || "`bench explain` lists all of them".to_owned(),
                |near| format!("did you mean `{near}`? `bench explain` lists all of them"),
            ),
        ));
    };
    output.result(&format!(
        "{}: {}\n\n{}\n",
        found.code, found.what, found.text
    ));
    Ok(Ending::Done)
}

fn all() -> impl Iterator<Item = &'static Explanation> {
    FINDINGS.iter().chain(DOUBTS).chain(CAUSES)
}

fn list() -> String {
    let mut text = String::new();
    for (heading, explanations) in [
        ("Findings in a scenario:", FINDINGS),
        ("\nDoubts about a measurement:", DOUBTS),
        ("\nCauses of a gate that did not pass:", CAUSES),
    ] {
        text.push_str(heading);
        text.push('\n');
        for explanation in explanations {
            text.push_str(&format!(
                "  {:<20} {}\n",
                explanation.code, explanation.what
            ));
        }
    }
    text
}

/// All codes as a page of the documentation.
pub(super) fn page() -> String {
    let mut text = "# Codes\n\nWhat `bench explain CODE` says. Findings stop a scenario from being run, or warn; doubts are \
                    part of a run's record and weigh on its verdict; causes are what the data says about a gate \
                    that did not pass.\n"
        .to_owned();
    for (heading, explanations) in [
        ("Findings", FINDINGS),
        ("Doubts", DOUBTS),
        ("Causes", CAUSES),
    ] {
        text.push_str(&format!("\n## {heading}\n"));
        for explanation in explanations {
            text.push_str(&format!(
                "\n### `{}`\n\n{}\n\n{}\n",
                explanation.code,
                super::reference::sentence(explanation.what),
                explanation.text
            ));
        }
    }
    text
}

const FINDINGS: &[Explanation] = &[
    Explanation {
        code: "syntax",
        what: "the text is not TOML",
        text: "Nothing else can be said about a file that cannot be read. The most frequent causes are a\n\
               string without quotes, a missing closing quote, and an inline table over several lines.\n\
               `bench init` writes a scenario to begin with.",
    },
    Explanation {
        code: "unknown-key",
        what: "a key that the format does not know",
        text: "A mistyped key is an error and not a warning: a gate that is never read is a gate that never\n\
               fails. The hint names the nearest known key. `bench schema` prints all keys, for editors too.",
    },
    Explanation {
        code: "missing-key",
        what: "a key that must be there is not",
        text: "The underlined table needs the key named in the message; the hint shows an example.",
    },
    Explanation {
        code: "wrong-type",
        what: "a value of the wrong type",
        text: "Times, sizes, shares and rates are strings with a unit: \"100ms\", \"2GiB\", \"70%\", \"400/s\".\n\
               Counts are plain numbers.",
    },
    Explanation {
        code: "invalid-value",
        what: "a value that is out of range or malformed",
        text: "The message says which values are allowed. A number without its unit is the most frequent\n\
               cause: it could mean anything, so it is not guessed.",
    },
    Explanation {
        code: "conflict",
        what: "two things exclude each other, or the same thing stands twice",
        text: "Remove one of the two. A phase, for example, ends after `duration` or after `count`.",
    },
    Explanation {
        code: "unknown-name",
        what: "a name that refers to nothing",
        text: "A phase names a request, or a template a field, that is not there. The hint names the nearest\n\
               one, or all that there are.",
    },
    Explanation {
        code: "invalid-gate",
        what: "a gate that cannot be read",
        text: "A gate is `metric < limit` or `metric > limit`, and the limit has the unit of the metric:\n\
               \"response.p99 < 100ms\", \"error_rate < 1%\", \"throughput > 200/s\". All metrics are in\n\
               docs/reference/metrics.md.",
    },
    Explanation {
        code: "invalid-template",
        what: "a `{{…}}` or `${…}` that cannot be read",
        text: "`${NAME}`, `${NAME:-default}` and `${file:path}` are replaced once, when the scenario is read;\n\
               `{{data.FIELD}}`, `{{pick:a,b}}`, `{{int:1,100}}`, `{{uuid}}` and `{{number}}` for each request.\n\
               `$${` stands for `${` itself.",
    },
    Explanation {
        code: "missing-variable",
        what: "an environment variable that is not set",
        text: "Set it, or give a default: `${NAME:-default}`. It is not taken for empty, because an empty\n\
               token or URL would measure something else.",
    },
    Explanation {
        code: "unreadable-file",
        what: "a file that the scenario names cannot be read",
        text: "Paths are relative to the folder of the scenario, not to where the command is run.",
    },
    Explanation {
        code: "invalid-data",
        what: "a data file whose contents are malformed",
        text: "A data file is JSON Lines, an object on each line, or CSV with a heading. Every row needs every\n\
               field that a template draws.",
    },
    Explanation {
        code: "impossible-promise",
        what: "a promise that no run could keep",
        text: "For example a gate on p99.9 over fewer requests than would show it, or a gate that is shorter\n\
               than its data. Such a gate would end inconclusive in every run, so it is refused before any\n\
               load is sent. Make the phase longer or the gate more modest.",
    },
    Explanation {
        code: "literal-secret",
        what: "a secret is written into the scenario itself",
        text: "A scenario is shared, and its text is part of every record. The value is left out there, but\n\
               not in your repository. Write \"${BENCH_TOKEN}\" or \"${file:token}\" instead.",
    },
    Explanation {
        code: "unsupported",
        what: "something that this version cannot do",
        text: "The message says what works instead.",
    },
];

const DOUBTS: &[Explanation] = &[
    Explanation {
        code: "generator-busy",
        what: "the generator's own threads had hardly a free moment",
        text: "Latencies are then partly or wholly those of the generator. Above 90 % gates on requests are\n\
               inconclusive. Give the generator more cores or a machine of its own, or ask for less load.\n\
               `bench doctor` shows quotas that hold it back.",
    },
    Explanation {
        code: "generator-late",
        what: "requests left later than intended by more than the gates can bear",
        text: "The delay is part of the response time, and it is not the target's. See generator-busy.",
    },
    Explanation {
        code: "generator-delayed",
        what: "tasks of the generator that were ready waited long for their turn",
        text: "Answers that have come wait as long to be read. Told above 1 ms at p99; above 5 ms gates on\n\
               requests are inconclusive. Give the generator more cores, or ask for less load.",
    },
    Explanation {
        code: "generator-starved",
        what: "a worker of the generator was ready and had no CPU",
        text: "Something else ran instead: another program, the target itself, or a quota that was used up.\n\
               Told above 10 % of any ten seconds; above half, gates on requests are inconclusive. Stop what\n\
               else runs, give the generator cores of its own (`taskset`, a cpuset), or another machine.",
    },
    Explanation {
        code: "cpu-stolen",
        what: "the hypervisor gave CPU time of this machine to others",
        text: "Told above 2 % of any ten seconds; above 10 % gates on requests are inconclusive. Use a\n\
               machine with dedicated CPUs.",
    },
    Explanation {
        code: "generator-holds",
        what: "many of the requests in flight were in the generator and not with the target",
        text: "By Little's law as many requests are with the target as throughput times service time. Where\n\
               that is far less than what is in flight, the others wait here: to be written, or to be read.\n\
               The target then sees less load than the scenario says. Told above 20 %; above half and 5 ms a\n\
               request, gates on requests are inconclusive. Give the generator more cores, or ask for less load.",
    },
    Explanation {
        code: "generator-near-limit",
        what: "few file descriptors or local ports of this machine were left",
        text: "Told above 80 % in use. Requests that find none fail as generator-short counts them. Raise the\n\
               limit of open files, widen net.ipv4.ip_local_port_range, or keep connections open.",
    },
    Explanation {
        code: "poor-machine",
        what: "something about this machine makes measurements on it worse",
        text: "Seen before any load: a CPU quota smaller than the number of workers, a clock that is slow to\n\
               read, or too few local ports for connections that are opened again and again. The run goes\n\
               on; whether it mattered shows in the other doubts. `bench doctor` looks at all of it.",
    },
    Explanation {
        code: "near-ceiling",
        what: "the phase asks for more than 70 % of what this machine was shown to generate",
        text: "`bench calibrate` has measured the ceiling of this kind of traffic (plain, over TLS, over\n\
               HTTP/2, streams) with small requests; large bodies cost more. Whether the generator was the\n\
               bottleneck then shows in the run itself. Use more cores, or a larger machine.",
    },
    Explanation {
        code: "generator-short",
        what: "requests were not sent, because this machine had no descriptor or port for them",
        text: "Less load was sent than was asked for. Raise the limit of open files, widen the range of local\n\
               ports, or use more than one generator; `bench doctor` shows both.",
    },
    Explanation {
        code: "generator-grows",
        what: "the generator's own memory grew all through a phase",
        text: "A leak gate that looks at the host as a whole may see the generator and not the target.",
    },
    Explanation {
        code: "warmup-too-short",
        what: "the measured window begins with a part that is unlike the rest",
        text: "Caches, pools and compilers were still warming up. Make `warmup` as long as the doubt says, or\n\
               longer.",
    },
    Explanation {
        code: "never-settled",
        what: "throughput or latency still changed when the measured window ended",
        text: "There was no steady state to measure. A verdict that the change could turn, if it went on,\n\
               is inconclusive. Make the phase longer, or find out what keeps changing.",
    },
    Explanation {
        code: "drifting",
        what: "throughput or latency rose or fell all through the measured window",
        text: "A mean over such a window describes no moment of it. Look for a queue that grows, a leak, or a\n\
               GPU that gets hot. A verdict that the change could turn, if it went on, is inconclusive.",
    },
    Explanation {
        code: "books-open",
        what: "planned requests and their ends do not add up",
        text: "Every planned request must end in exactly one outcome. Where it does not, no number about\n\
               requests can be defended. This is a fault of bench: please report it with the journal.",
    },
    Explanation {
        code: "little-mismatch",
        what: "Little's law does not hold between the in-flight count and the latencies",
        text: "Requests in flight equal throughput times response time, whatever the target does. Where they\n\
               do not, the measurement itself is wrong. Please report it with the journal.",
    },
    Explanation {
        code: "paused",
        what: "the generator stood still for a while",
        text: "It was suspended, stopped, or got no CPU. Requests that were in flight look slower than they\n\
               were, so gates on requests are inconclusive. Look for a sleeping laptop, a virtual machine that\n\
               was moved, or a CPU quota.",
    },
    Explanation {
        code: "clock-step",
        what: "the wall clock was set while the run went on",
        text: "Latencies are measured on the monotonic clock and do not depend on it. The times of day in the\n\
               report may be off by the step.",
    },
    Explanation {
        code: "token-lapsed",
        what: "the token of the login ended before another one was there",
        text: "Logins failed, or took longer than `refresh_before` under [login]: see `logins` in run.json.\n\
               What was sent meanwhile was refused. Renew earlier, or look at why the logins failed.",
    },
    Explanation {
        code: "unchecked-certificate",
        what: "the target's certificate was not checked",
        text: "`insecure = true` under [target] tls was set: whoever answered may not be the target. Give its\n\
               authority with `ca` instead.",
    },
    Explanation {
        code: "telemetry-lost",
        what: "a telemetry source stopped delivering",
        text: "Gates on its metrics are inconclusive where too little is known. The message says why the\n\
               source stopped.",
    },
    Explanation {
        code: "preflight",
        what: "the target was not as it should be before any load",
        text: "Each request is sent once before the load, and was not answered as the scenario expects. Check\n\
               URL, credentials and `expect`. `--no-preflight` sends the load all the same.",
    },
    Explanation {
        code: "journal-failed",
        what: "the journal could not be written, so the load was stopped",
        text: "A measurement that cannot be kept cannot be shown. Free some space, or choose another folder\n\
               with --results.",
    },
    Explanation {
        code: "aborted",
        what: "a gate that says `abort` had certainly failed, so the run was ended",
        text: "The verdict is FAIL, with the same certainty as at the end: looks before the end spend a part of\n\
               the five per cent that a wrong FAIL may cost. Phases that had not begun were not run.",
    },
    Explanation {
        code: "interrupted",
        what: "the run was interrupted from outside",
        text: "The report shows what there is; an interrupted run cannot pass.",
    },
    Explanation {
        code: "cut-off",
        what: "the journal has no end",
        text: "bench was killed, or the machine went down. `bench report` shows what is known up to the last\n\
               second on disk; such a run cannot pass.",
    },
    Explanation {
        code: "no-baseline",
        what: "too few runs can be compared with this one",
        text: "`--baseline last-pass` needs three runs with PASS of the same scenario and environment key, because\n\
               one or two do not show how runs vary of themselves. The run is judged by its own gates; with PASS\n\
               it is one of the next runs' baseline.",
    },
    Explanation {
        code: "baseline-differs",
        what: "the baseline was made under other circumstances",
        text: "The environment key is the same, so that the comparison is made; the fact that is named is not.\n\
               A change of the commit is what a comparison is about; another kernel or host may explain it too.",
    },
    Explanation {
        code: "simulated",
        what: "values of a source are made up",
        text: "A test stood in for real hardware. The report says so wherever such a value could be seen.",
    },
];

/// In the order of [`verdict::Cause::ALL`].
const CAUSES: &[Explanation] = &[
    Explanation {
        code: "errors",
        what: "requests failed, timed out or never ended",
        text: "They count as slower than any limit. The kinds are named with their shares; the report has an\n\
               example of each with the answer's body.",
    },
    Explanation {
        code: "warm-up",
        what: "most of what is over the limit came before the target had settled",
        text: "Caches, pools and compilers were still warming up inside the measured window. Make `warmup`\n\
               longer and run again.",
    },
    Explanation {
        code: "stall",
        what: "most of what is over the limit lies in a tenth of the seconds",
        text: "The target stood still now and then: a garbage collection, a checkpoint, a lock, a restart. Look\n\
               at its logs at the time that is named, and at the timelines of the report.",
    },
    Explanation {
        code: "overload",
        what: "more requests came than the target serves",
        text: "Requests waited before they were sent, so that response time is far above service time. The\n\
               rate is above the capacity; `bench capacity` finds the highest that holds.",
    },
    Explanation {
        code: "saturation",
        what: "more requests in flight brought hardly more throughput",
        text: "What is in flight beyond what the target works on waits in its queue, and each request takes\n\
               that much longer (Little's law). More replicas or larger batches help, faster requests do too.",
    },
    Explanation {
        code: "retries",
        what: "requests were sent again after an answer of 429 or 503",
        text: "A request that `retry` lets be sent again has one latency, from its intended start to the end of\n\
               its last try, with the waits that `Retry-After` or the scenario asked for. Lower the load, raise\n\
               the target's limits, or leave out `retry` to see each refusal as the failure that it is.",
    },
    Explanation {
        code: "service-time",
        what: "the target itself is too slow, without a queue that could be seen",
        text: "Nothing waited before it was sent. The steps say whether the first byte or the rest of the\n\
               answer took the time.",
    },
    Explanation {
        code: "load",
        what: "the load could not bring what the gate asks for",
        text: "An open loop serves no more than is offered, and in a closed loop requests in flight divided\n\
               by their mean response time is all the throughput there can be. Raise `rate` or `concurrency`,\n\
               or make answers faster.",
    },
    Explanation {
        code: "correlation",
        what: "neighbouring requests resemble each other, so that they prove less",
        text: "A queue or a stall slows all requests of a moment, so that a thousand of them may be worth\n\
               thirty independent ones. Measure for longer; more requests per second do not help.",
    },
    Explanation {
        code: "unsteady",
        what: "the level changed during the measured window",
        text: "There was no steady state to judge. See the doubts never-settled and drifting.",
    },
    Explanation {
        code: "gpu-throttled",
        what: "a GPU was held back by power, heat or hardware",
        text: "It ran below its clock for the share of the time that is named. `bench gpu` says whether it is\n\
               sick; look at cooling and power limits.",
    },
    Explanation {
        code: "gpu-idle",
        what: "a GPU had nothing to do while others were busy",
        text: "A worker is not running, or the load balancer does not reach it. Connections that are kept for\n\
               long do not reach replicas that came later.",
    },
    Explanation {
        code: "replica-missing",
        what: "fewer replicas were ready than at other times of the run",
        text: "Look for restarts, and for pods that wait for a GPU.",
    },
    Explanation {
        code: "generator",
        what: "the generator had hardly a free moment",
        text: "Its share of the latencies cannot be told from the target's. See generator-busy and\n\
               generator-late.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict;
    use std::collections::BTreeSet;

    #[test]
    fn every_cause_is_explained() {
        let codes: Vec<String> = verdict::Cause::ALL
            .iter()
            .map(|cause| cause.code().replace('_', "-"))
            .collect();
        let explained: Vec<&str> = CAUSES.iter().map(|cause| cause.code).collect();
        assert_eq!(explained, codes);
    }

    #[test]
    fn codes_are_explained_once() {
        let codes: BTreeSet<&str> = all().map(|explanation| explanation.code).collect();
        assert_eq!(codes.len(), all().count());
        for explanation in all() {
            assert!(
                explanation
                    .text
                    .lines()
                    .all(|line| line.chars().count() <= 100)
            );
            assert!(explanation.text.ends_with('.'), "{}", explanation.code);
        }
    }
}
