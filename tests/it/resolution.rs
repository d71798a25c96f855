//! When the target's name is resolved: once, or for every connection.

use crate::support::plan_with;
#[cfg(target_os = "linux")]
use crate::support::program::Bench;
use crate::support::tcp::{Manner, Tcp};
use bench::engine::ports::{Call, Client, RunClock, Slot, Target};
use bench::http::{HttpTarget, TcpConnect};
use bench::plan::{Captured, TargetAddress};
use bench::record::Outcome;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::cell::Cell;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::time::Duration;

fn text(url: &str, resolve: &str, phase: &str) -> String {
    format!(
        r#"
name = "names"
[target]
url = "{url}"
resolve = "{resolve}"
connections = "per-request"
timeout = "2s"
[request.get]
path = "/"
[[phase]]
name = "only"
{phase}
[telemetry]
gpu = "none"
"#
    )
}

#[test]
fn a_name_is_resolved_as_often_as_the_scenario_says() {
    let server = Tcp::serve(Manner::Answer(200, b"ok".to_vec(), Duration::ZERO));
    let url = format!("http://localhost:{}", server.address.port());
    for (resolve, resolved) in [("once", 0), ("per-connection", 5)] {
        let phase = "concurrency = 1\nduration = \"2s\"";
        let plan = plan_with(&text(&url, resolve, phase), 1, &[]);
        let TargetAddress::Http(url) = &plan.target.address else {
            panic!("the target is a URL");
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let timed = runtime.block_on(async {
            let connect = TcpConnect::resolve(&url.host, url.port)
                .await
                .unwrap()
                .resolving_each_time(plan.target.resolves_each_time);
            let target = HttpTarget::new(&plan, url, connect).unwrap();
            let mut slot = target.client().open();
            let mut random = Pcg64Mcg::seed_from_u64(1);
            let mut timed = 0;
            for number in 0..5 {
                let call = Call {
                    request: 0,
                    number,
                    random: &mut random,
                    deadline_ns: 60_000_000_000,
                    clock: RunClock::start(),
                    token_events: &Cell::new(0),
                    captured: &mut Captured::nothing(),
                };
                let exchange = slot.exchange(call).await;
                assert_eq!(exchange.outcome, Outcome::Ok, "{:?}", exchange.failure);
                assert!(exchange.connection.opened_ns.is_some());
                timed += u64::from(exchange.steps().dns_ns.is_some());
            }
            timed
        });
        assert_eq!(timed, resolved, "{resolve}");
    }
}

/// The program with a `/etc/hosts` of its own, in which a name moves from one server to another while
/// the load goes on; what came of the run, and how many requests each server got. `None` where this
/// system lets nobody have a file of their own in place of another.
#[cfg(target_os = "linux")]
#[expect(clippy::print_stderr, reason = "what was not checked must be said")]
fn run_while_the_name_moves(resolve: &str) -> Option<(serde_json::Value, u64, u64)> {
    let answer = || Manner::Answer(200, b"ok".to_vec(), Duration::from_millis(5));
    let before = Tcp::serve(answer());
    let after = Tcp::serve_at(([127, 0, 0, 2], before.address.port()).into(), answer());
    let url = format!("http://target.example:{}", before.address.port());
    let phase = "concurrency = 4\nduration = \"4s\"";
    let bench = Bench::with(&text(&url, resolve, phase));
    bench.write("hosts", "127.0.0.1 target.example\n");
    bench.write("nsswitch.conf", "hosts: files\n");
    let script = "mount --bind hosts /etc/hosts && mount --bind nsswitch.conf /etc/nsswitch.conf \
                  && exec \"$0\" run scenario.toml";
    let isolated = ["--user", "--map-root-user", "--mount"];
    let allowed = Command::new("unshare")
        .args(isolated)
        .args(["sh", "-c", "mount --bind /etc/hosts /etc/hosts && mount --bind /etc/nsswitch.conf /etc/nsswitch.conf"])
        .output();
    if !allowed.is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: this system does not allow a mount namespace of one's own");
        return None;
    }
    let mut child = bench
        .scrubbed(Command::new("unshare"), &isolated)
        .args(["sh", "-c", script, env!("CARGO_BIN_EXE_bench")])
        .spawn()
        .unwrap();
    bench.await_seconds(&mut child, 1);
    // In place: a new file would be another one than that which was mounted.
    bench.write("hosts", "127.0.0.2 target.example\n");
    let said = child.wait_with_output().unwrap();
    // Without gates there is no verdict.
    assert_eq!(said.status.code(), Some(3), "{said:?}");
    Some((bench.run_json(), before.requests(), after.requests()))
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_moves_is_followed_if_the_scenario_says_so() {
    let Some((run, before, after)) = run_while_the_name_moves("per-connection") else {
        return;
    };
    assert!(before > 0 && after > 0, "{before} {after}");
    let phase = &run["phases"][0];
    assert_eq!(phase["requests"]["ok"], phase["requests"]["planned"]);
    let (run, before, after) = run_while_the_name_moves("once").unwrap();
    assert!(before > 0 && after == 0, "{before} {after}");
    assert!(run["phases"][0]["requests"]["ok"].as_u64().unwrap() > 0);
}
