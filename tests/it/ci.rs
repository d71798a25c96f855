//! What a run tells continuous integration, and the page that says how.

use crate::support::program::{Bench, Said};
use crate::support::tcp::{Manner, Tcp};
use std::time::Duration;

/// Runs a scenario whose gates all fail, as a step of GitHub Actions would.
fn run_in_job(with_flag: bool, variables: &[(&str, &str)]) -> (Bench, Said) {
    let server = Tcp::serve(Manner::Answer(
        200,
        b"ok".to_vec(),
        Duration::from_millis(2),
    ));
    let bench = Bench::with(&format!(
        "name = \"t\"\n[target]\nurl = \"{}\"\n[request.get]\npath = \"/\"\n[[phase]]\nname = \"p\"\n\
         concurrency = 2\nduration = \"4s\"\ngates = [\"response.p50 < 1us\"]\n[telemetry]\ngpu = \"none\"\n",
        server.url()
    ));
    let mut args = vec!["run", "scenario.toml"];
    if with_flag {
        args.push("--github");
    }
    let said = bench.judged_as(|| {
        let mut command = bench.command(&args);
        command.envs(variables.iter().copied());
        command
    });
    let said = said.exits(1);
    (bench, said)
}

fn file(bench: &Bench, name: &str) -> String {
    std::fs::read_to_string(bench.path().join(name)).unwrap_or_default()
}

#[test]
fn a_job_of_github_gets_summary_annotations_and_outputs() {
    let (bench, said) = run_in_job(
        false,
        &[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_STEP_SUMMARY", "summary"),
            ("GITHUB_OUTPUT", "outputs"),
        ],
    );
    assert_eq!(file(&bench, "summary"), bench.read("summary.md"));
    assert!(file(&bench, "outputs").starts_with("verdict=FAIL\nrun=2"));
    assert!(
        said.stderr
            .contains("\n::error title=FAIL p%3A response.p50 < 1us::"),
        "{}",
        said.stderr
    );
    // What a program reads stays as it is.
    assert!(!said.stdout.contains("::error"), "{}", said.stdout);
    assert_eq!(format!("{}\n", said.last_line()), bench.read("verdict.txt"));
}

#[test]
fn elsewhere_github_hears_nothing_unless_asked() {
    let (bench, said) = run_in_job(false, &[]);
    assert!(!said.stderr.contains("::error"), "{}", said.stderr);
    assert!(bench.read("metrics.txt").ends_with("# EOF\n"));
    let (_, said) = run_in_job(true, &[]);
    assert!(said.stderr.contains("::error"), "{}", said.stderr);
}

#[test]
fn a_summary_that_cannot_be_written_is_a_warning() {
    let (_, said) = run_in_job(false, &[("GITHUB_STEP_SUMMARY", "no/such/folder")]);
    assert!(
        said.stderr
            .contains("warning: cannot write `no/such/folder`"),
        "{}",
        said.stderr
    );
}
