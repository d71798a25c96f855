//! How long connections are kept, and what is said about wrong ways of making them.

use crate::support::memory::{Memory, ms, ok};
use crate::support::{Outside, plan_with, run};
use bench::diag::SourceText;
use bench::plan::{self, Facts};
use bench::record::{Distribution as _, Outcome, ReceiveStamps};
use bench::scenario;

fn text(target: &str) -> String {
    format!(
        r#"
name = "test"
[target]
url = "http://memory"
{target}
[request.get]
path = "/"
[[phase]]
name = "only"
concurrency = 2
count = 60
"#
    )
}

/// Requests, connections, and the heads that the server saw.
fn connections_of(target: &str) -> (u64, u64, Vec<String>) {
    let server = Memory::new(|_| ok(ms(10)));
    let record = run(&plan_with(&text(target), 1, &[]), &server);
    let phase = &record.phases[0];
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 60);
    assert_eq!(phase.connections.opened, server.connections());
    // In memory there is no kernel that could stamp, and nothing is claimed.
    assert_eq!(phase.steps.receive_stamps(), ReceiveStamps::Program);
    assert_eq!(phase.steps.wait.count(), 60);
    let heads = server.seen().into_iter().map(|seen| seen.head).collect();
    (server.requests(), server.connections(), heads)
}

#[test]
fn connections_are_kept_unless_the_scenario_says_otherwise() {
    let (requests, connections, heads) = connections_of("");
    assert_eq!((requests, connections), (60, 2));
    assert!(heads.iter().all(|head| !head.contains("connection:")));
    assert_eq!(connections_of("connections = \"keep\"").1, 2);
}

#[test]
fn each_request_gets_a_connection_of_its_own() {
    let (requests, connections, heads) = connections_of("connections = \"per-request\"");
    assert_eq!((requests, connections), (60, 60));
    assert!(heads.iter().all(|head| head.contains("connection: close")));
}

#[test]
fn a_connection_carries_so_many_requests_and_no_more() {
    // Two slots with thirty requests each: four connections of seven, and one of two.
    let (requests, connections, _) = connections_of("connections = 7");
    assert_eq!((requests, connections), (60, 10));
}

fn faults(target: &str) -> String {
    let source = SourceText::new("test.toml", text(target));
    let (scenario, mut found) = scenario::parse(&source, &Outside::default());
    if let Err(more) = plan::compile(&scenario, &Facts::default(), 1) {
        found.extend(more);
    }
    found.to_string()
}

#[test]
fn wrong_ways_are_named() {
    let cases = [
        ("connections = \"sometimes\"", "connections"),
        ("connections = 0", "connections"),
        ("resolve = \"never\"", "resolve"),
        ("tls = { insecure = true }", "not `https://`"),
        ("tls = { min_version = \"1.1\" }", "min_version"),
        (
            "tls = { certificate = \"x\" }",
            "both `certificate` and `key`",
        ),
        ("tls = { cert = \"x\" }", "unknown key `cert`"),
    ];
    for (target, expected) in cases {
        let found = faults(target);
        assert!(found.contains(expected), "{target}: {found}");
    }
}
