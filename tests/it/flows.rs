//! Flows: several steps with one latency, values handed from one to the next, polling, and further
//! tries; over in-memory streams under a paused clock, with exact asserts.

use crate::support::memory::{Memory, Reply, Seen, ms, ok};
use crate::support::{plan_with, run};
use bench::gate::LatencyKind;
use bench::record::{
    Cause, Distribution, Doubt, Latencies, Outcome, PhaseRecord, RequestTally, RunRecord,
};

const JOB: &str = r#"
[[flow]]
name = "job"

[[flow.step]]
name = "submit"
path = "/v1/jobs"
json = { n = "{{number}}" }
capture = { id = "/id" }

[[flow.step]]
name = "wait"
path = "/v1/jobs/{{capture.id}}"
poll = { until = { json = { "/status" = "completed" } }, fail = { json = { "/status" = "failed" } }, every = "100ms", limit = "1s" }
"#;

fn scenario(flow: &str, phase: &str) -> String {
    format!(
        "name = \"flows\"\n[target]\nurl = \"http://memory\"\ntimeout = \"2s\"\n{flow}\n{phase}"
    )
}

const ONE_USER: &str = "[[phase]]\nname = \"p\"\nconcurrency = 1\ncount = 4\n";

fn json(after: u64, status: u16, body: &str) -> Reply {
    Reply::Answer {
        after: ms(after),
        status,
        body: body.as_bytes().to_vec(),
    }
}

/// A server whose jobs are done at the `looks`th look.
fn jobs(looks: u64, end: &'static str) -> Memory {
    let asked = std::sync::Mutex::new(std::collections::BTreeMap::<String, u64>::new());
    Memory::new(move |seen| {
        if seen.head.starts_with("POST") {
            return json(20, 202, &format!(r#"{{"id":"job {}"}}"#, seen.number));
        }
        let path = seen.head.split(' ').nth(1).unwrap().to_owned();
        let mut asked = asked.lock().unwrap();
        let count = asked.entry(path).or_default();
        *count += 1;
        let status = if *count >= looks { end } else { "running" };
        json(10, 200, &format!(r#"{{"status":"{status}"}}"#))
    })
}

fn phase_of(record: &RunRecord) -> &PhaseRecord {
    assert!(
        !record.doubts.iter().any(|doubt| matches!(
            doubt,
            Doubt::BooksOpen { .. } | Doubt::LittleMismatch { .. }
        )),
        "{:?}",
        record.doubts
    );
    &record.phases[0]
}

fn step(phase: &PhaseRecord, index: usize) -> &RequestTally {
    &phase.flow_steps.requests()[index]
}

#[track_caller]
fn assert_ms(latencies: &Latencies, truth: f64) {
    let value = latencies.quantile_ns(0.5).expect("there is one") as f64 / 1e6;
    assert!(
        (value / truth - 1.0).abs() < 0.002,
        "{value} ms, not {truth}"
    );
}

fn paths(seen: &[Seen]) -> Vec<&str> {
    seen.iter()
        .map(|seen| seen.head.split(' ').nth(1).unwrap())
        .collect()
}

#[test]
fn a_job_is_submitted_and_asked_for_until_it_is_done() {
    let server = jobs(3, "completed");
    let record = run(&plan_with(&scenario(JOB, ONE_USER), 1, &[]), &server);
    let phase = phase_of(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 4);
    // 20 ms to submit, three looks of 10 ms, and two pauses of 100 ms between them.
    assert_ms(phase.latencies(LatencyKind::Response), 250.0);
    assert_ms(&step(phase, 0).response, 20.0);
    assert_ms(&step(phase, 1).response, 230.0);
    assert_eq!(step(phase, 1).tries.not_yet, 8);
    assert_eq!(phase.total.tries.not_yet, 8);
    assert_eq!(server.requests(), 16);
    // What was captured is escaped where it stands in a path.
    let seen = server.seen();
    assert_eq!(
        paths(&seen)[..5],
        [
            "/v1/jobs",
            "/v1/jobs/job%200",
            "/v1/jobs/job%200",
            "/v1/jobs/job%200",
            "/v1/jobs"
        ]
    );
    // One flow is one in flight, and its steps use one connection.
    assert_eq!(server.connections(), 1);
    assert!((phase.mean_in_flight() - 1.0).abs() < 1e-6);
    // There is no first byte of a flow, and there is of its steps.
    assert!(phase.total.ttfb.is_empty());
    assert_ms(&step(phase, 0).ttfb, 20.0);
}

#[test]
fn a_flow_fails_with_the_first_step_that_does() {
    for (looks, end, outcome, cause) in [
        (2, "failed", Outcome::FailedCheck, Cause::PollFailed),
        (1000, "completed", Outcome::Timeout, Cause::NotYet),
    ] {
        let server = jobs(looks, end);
        let record = run(&plan_with(&scenario(JOB, ONE_USER), 1, &[]), &server);
        let phase = phase_of(&record);
        assert_eq!(phase.total.outcomes.of(outcome), 4);
        assert_eq!(step(phase, 0).outcomes.of(Outcome::Ok), 4);
        assert_eq!(step(phase, 1).outcomes.of(outcome), 4);
        let errors = phase.errors.by_frequency();
        assert_eq!(errors.len(), 1);
        assert_eq!((errors[0].key.cause, errors[0].count), (cause, 4));
        assert_eq!(record.name_of(&errors[0].key).unwrap(), "job/wait");
        if outcome == Outcome::Timeout {
            // 20 ms to submit, and ten looks of which the last is answered at the limit.
            assert_ms(&phase.total.censored, 1020.0);
        }
    }
}

#[test]
fn a_step_that_is_never_reached_is_not_counted() {
    let server = Memory::new(|_| json(5, 202, r#"{"name":"no id here"}"#));
    let record = run(&plan_with(&scenario(JOB, ONE_USER), 1, &[]), &server);
    let phase = phase_of(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::FailedCheck), 4);
    assert_eq!(phase.flow_steps.requests().len(), 1);
    let errors = phase.errors.by_frequency();
    assert_eq!(errors[0].key.cause, Cause::NotCaptured(0));
    assert_eq!(errors[0].detail, "the answer has nothing at `/id`");
    assert_eq!(server.requests(), 4);
}

#[test]
fn the_latency_of_a_flow_counts_from_its_intended_start() {
    // Ten flows a second of 50 ms each, and one slot: the tenth of a second that the first answer
    // takes longer delays all that are due meanwhile.
    let flow = r#"
[[flow]]
name = "two"
[[flow.step]]
name = "a"
path = "/a"
[[flow.step]]
name = "b"
path = "/b"
"#;
    let phase = "[[phase]]\nname = \"p\"\nrate = 10\nmax_in_flight = 1\nduration = \"1s\"\n";
    let server = Memory::new(|seen| ok(ms(if seen.number == 0 { 225 } else { 25 })));
    let record = run(&plan_with(&scenario(flow, phase), 1, &[]), &server);
    let phase = phase_of(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 10);
    let slowest = |latencies: &Latencies| latencies.max_ns().unwrap() as f64 / 1e6;
    let at =
        |latencies: &Latencies, quantile| latencies.quantile_ns(quantile).unwrap() as f64 / 1e6;
    let response = phase.latencies(LatencyKind::Response);
    assert!((slowest(response) - 250.0).abs() < 1.0);
    // The second was due at 100 ms and began at 250.
    assert!(
        (at(response, 0.9) - 200.0).abs() < 1.0,
        "{}",
        at(response, 0.9)
    );
    // Waiting for a slot is part of the first step and not of the second.
    assert!((at(&step(phase, 0).response, 0.9) - 175.0).abs() < 1.0);
    assert!((slowest(&step(phase, 1).response) - 25.0).abs() < 0.1);
    // Service time counts from the send.
    assert!((at(&phase.total.service, 0.9) - 50.0).abs() < 0.2);
}

#[test]
fn flows_in_flight_at_the_end_leave_their_step_in_the_books() {
    let phase =
        "[[phase]]\nname = \"p\"\nconcurrency = 3\nduration = \"2500ms\"\ndrain = \"100ms\"\n";
    let server = jobs(1000, "completed");
    let record = run(&plan_with(&scenario(JOB, phase), 1, &[]), &server);
    let phase = phase_of(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::InFlightAtEnd), 3);
    assert_eq!(step(phase, 1).outcomes.of(Outcome::InFlightAtEnd), 3);
    assert_eq!(step(phase, 1).planned, step(phase, 1).outcomes.total());
}

#[test]
fn captured_values_keep_their_type_in_json_and_may_be_headers_and_whole_urls() {
    let flow = r#"
[[flow]]
name = "chain"
[[flow.step]]
name = "a"
path = "/a"
capture = { n = "/n", word = "/word", next = { header = "Location" } }
[[flow.step]]
name = "b"
path = "{{capture.next}}"
headers = { x-word = "<{{capture.word}}>" }
json = { n = "{{capture.n}}", word = "{{capture.word}}", both = "{{capture.n}} {{capture.word}}" }
"#;
    let server = Memory::new(|seen| {
        if seen.head.starts_with("GET /a ") {
            let body = r#"{"n":17,"word":"say \"hi\""}"#;
            let bytes = format!(
                "HTTP/1.1 200 OK\r\nlocation: http://elsewhere:99/b/17?x=1\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            return Reply::Raw {
                after: ms(1),
                bytes: bytes.into_bytes(),
            };
        }
        ok(ms(1))
    });
    let record = run(
        &plan_with(
            &scenario(
                flow,
                "[[phase]]\nname = \"p\"\nconcurrency = 1\ncount = 1\n",
            ),
            1,
            &[],
        ),
        &server,
    );
    assert_eq!(
        phase_of(&record).total.outcomes.of(Outcome::Ok),
        1,
        "{:?}",
        phase_of(&record).errors
    );
    let seen = &server.seen()[1];
    assert!(seen.head.starts_with("POST /b/17?x=1 "), "{}", seen.head);
    assert!(
        seen.head.contains("x-word: <say \"hi\">\r\n"),
        "{}",
        seen.head
    );
    assert_eq!(
        seen.body,
        r#"{"n":17,"word":"say \"hi\"","both":"17 say \"hi\""}"#
    );
}

const RETRY: &str = r#"
[request.infer]
path = "/"
retry = { times = 2, pause = "200ms", longest = "3s" }
"#;

/// Turns away the first tries of each request, with such a header.
fn turning_away(tries: u64, status: u16, header: &'static str) -> Memory {
    Memory::new(move |seen| {
        if seen.number % (tries + 1) == tries {
            return ok(ms(10));
        }
        let head = format!("HTTP/1.1 {status} X\r\n{header}content-length: 2\r\n\r\nno");
        Reply::RawAndGoOn {
            after: ms(10),
            bytes: head.into_bytes(),
        }
    })
}

#[test]
fn a_request_that_is_turned_away_is_tried_again_when_the_server_says() {
    let date =
        "retry-after: Sun, 06 Nov 1994 08:49:39 GMT\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    for (header, waits_ms, told) in [
        // Twice what the server says.
        ("retry-after: 1\r\n", 2000.0, 8),
        (date, 4000.0, 8),
        // The scenario's own pause, doubled for the second.
        ("", 600.0, 0),
        ("retry-after: soon\r\n", 600.0, 0),
    ] {
        let server = turning_away(2, 503, header);
        let record = run(&plan_with(&scenario(RETRY, ONE_USER), 1, &[]), &server);
        let phase = phase_of(&record);
        assert_eq!(phase.total.outcomes.of(Outcome::Ok), 4, "{header}");
        // Three answers of 10 ms, from the intended start of the first.
        assert_ms(phase.latencies(LatencyKind::Response), waits_ms + 30.0);
        assert_ms(phase.latencies(LatencyKind::Service), waits_ms + 30.0);
        let tries = &phase.total.tries;
        assert_eq!((tries.turned_away, tries.told), (8, told), "{header}");
        assert_eq!((tries.retried, tries.retries), (4, 8));
        assert_eq!(server.requests(), 12);
        // Each try was sent, and its bytes count.
        assert_eq!(phase.send_lag.count(), 12);
    }
}

#[test]
fn tries_end_and_the_last_answer_is_what_came_of_it() {
    let server = turning_away(1000, 429, "retry-after: 1\r\n");
    let record = run(&plan_with(&scenario(RETRY, ONE_USER), 1, &[]), &server);
    let phase = phase_of(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::BadStatus), 4);
    assert_eq!(server.requests(), 12);
    assert_ms(&phase.total.failed, 2030.0);
    let errors = phase.errors.by_frequency();
    assert_eq!(errors[0].key.cause, Cause::Status(429));
    assert_eq!(
        errors[0].detail,
        "expected status 2xx, got 429; tried 3 times"
    );

    // A server that asks for more than is allowed is not waited for.
    let server = turning_away(1000, 429, "retry-after: 120\r\n");
    let record = run(&plan_with(&scenario(RETRY, ONE_USER), 1, &[]), &server);
    let phase = phase_of(&record);
    assert_eq!((server.requests(), phase.total.tries.retries), (4, 0));
    assert_ms(&phase.total.tries.asked, 120_000.0);
    let errors = phase.errors.by_frequency();
    assert_eq!(
        errors[0].detail,
        "expected status 2xx, got 429; not tried again: the server asks to wait 2 m 00 s, longer than `retry` allows"
    );
}

#[test]
fn without_a_word_of_it_nothing_is_tried_again_and_what_was_asked_is_told() {
    let flow = "[request.infer]\npath = \"/\"\n";
    let server = turning_away(1, 503, "retry-after: 7\r\n");
    let record = run(&plan_with(&scenario(flow, ONE_USER), 1, &[]), &server);
    let phase = phase_of(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::BadStatus), 2);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 2);
    let tries = &phase.total.tries;
    assert_eq!((tries.turned_away, tries.told, tries.retries), (2, 2, 0));
}

#[test]
fn a_secret_that_was_captured_is_never_kept() {
    let flow = r#"
[[flow]]
name = "login"
[[flow.step]]
name = "token"
path = "/token"
capture = { token = { json = "/token", secret = true }, more = "/more" }
[[flow.step]]
name = "use"
path = "/use"
headers = { authorization = "Bearer {{capture.token}}" }
expect = { status = 204 }
"#;
    // Half of the logins lack a value, so that the step fails with the token in its answer; the others
    // meet a service that repeats it.
    let server = Memory::new(|seen| {
        if seen.head.starts_with("GET /token ") {
            let more = if seen.number % 3 == 0 { "more" } else { "less" };
            return json(1, 200, &format!(r#"{{"token":"t0p-s3cret","{more}":1}}"#));
        }
        let authorization = seen
            .head
            .lines()
            .find(|line| line.starts_with("authorization"))
            .unwrap();
        assert!(authorization.ends_with("Bearer t0p-s3cret"));
        json(1, 403, &format!("not with {authorization}"))
    });
    let entries = crate::support::entries_of(
        &plan_with(&scenario(flow, ONE_USER), 1, &[]),
        &server,
        crate::support::Circumstances::default(),
    );
    let journal = serde_json::to_string(&entries).unwrap();
    assert!(!journal.contains("s3cret"), "{journal}");
    assert!(
        journal.contains("not with authorization: Bearer ***"),
        "{journal}"
    );
    assert!(journal.contains("captured value 2 missing"), "{journal}");
}

const LOGIN: &str = r#"
[login]
path = "/auth/token"
json = { user = "me", password = "${PASSWORD:-pass}" }
token = "/access_token"
expires_in = "/expires_in"
refresh_before = "3s"

[request.get]
path = "/"
headers = { authorization = "Bearer {{login.token}}" }
"#;

const TEN_SECONDS: &str = "[[phase]]\nname = \"p\"\nconcurrency = 2\nduration = \"30s\"\n";

/// A server whose tokens are numbered and valid for ten seconds; the logins with these numbers fail.
fn guarded(fails: fn(u64) -> bool) -> Memory {
    guarded_for(fails, |_| 10_000)
}

/// The same, where the token of a number is valid for so many milliseconds, whatever the server says of it.
fn guarded_for(fails: fn(u64) -> bool, valid_ms: fn(usize) -> u64) -> Memory {
    let logins = std::sync::atomic::AtomicU64::new(0);
    let valid_to = std::sync::Mutex::new(Vec::<std::time::Duration>::new());
    Memory::new(move |seen| {
        if seen.head.starts_with("POST /auth/token ") {
            let number = logins.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if fails(number) {
                return json(40, 503, r#"{"error":"try later"}"#);
            }
            let mut valid_to = valid_to.lock().unwrap();
            let number = valid_to.len();
            valid_to.push(seen.at + ms(valid_ms(number)));
            let token = format!("s3cret-{number}");
            return json(
                40,
                200,
                &format!(r#"{{"access_token":"{token}","expires_in":10}}"#),
            );
        }
        let token = seen
            .head
            .lines()
            .find_map(|line| line.strip_prefix("authorization: Bearer s3cret-"));
        let valid_to = valid_to.lock().unwrap();
        let is_valid = token
            .and_then(|token| token.parse::<usize>().ok())
            .and_then(|token| valid_to.get(token))
            .is_some_and(|valid_to| seen.at < *valid_to);
        if is_valid {
            ok(ms(10))
        } else {
            json(
                10,
                401,
                &format!(
                    "{token:?} of s3cret-{} is not valid",
                    token.unwrap_or_default()
                ),
            )
        }
    })
}

#[test]
fn a_token_is_had_before_the_load_and_renewed_before_its_end() {
    let server = guarded(|_| false);
    let entries = crate::support::entries_of(
        &plan_with(&scenario(LOGIN, TEN_SECONDS), 2, &[]),
        &server,
        crate::support::Circumstances::default(),
    );
    assert!(!serde_json::to_string(&entries).unwrap().contains("s3cret"));
    let record = RunRecord::from_journal(entries).unwrap();
    let phase = phase_of(&record);
    // Two users, ten milliseconds each, for thirty seconds: no request was refused, and none was held up.
    assert_eq!(phase.total.outcomes.total(), 6000);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 6000);
    assert_ms(phase.latencies(LatencyKind::Response), 10.0);
    assert_eq!(
        phase.latencies(LatencyKind::Response).max_ns(),
        phase.latencies(LatencyKind::Response).quantile_ns(0.5)
    );
    // One before, and one every seven seconds; logins are counted nowhere else.
    let logins = &record.logins;
    assert_eq!(logins.len(), 5, "{logins:?}");
    for (number, login) in logins.iter().enumerate() {
        assert_eq!(login.outcome, Outcome::Ok);
        assert_eq!(login.valid_ns, Some(10_000_000_000));
        assert_eq!(login.took_ns / 1_000_000, 40);
        if number > 0 {
            assert_eq!(login.at_ns.div_ceil(1_000_000_000), 7 * number as u64);
        }
    }
    assert_eq!(server.requests(), 6005);
    assert!(
        !record
            .doubts
            .iter()
            .any(|doubt| matches!(doubt, Doubt::TokenLapsed { .. }))
    );
}

#[test]
fn a_token_that_is_refused_before_its_end_is_replaced_at_once() {
    // The second token is revoked two seconds after it was given.
    let server = guarded_for(|_| false, |number| if number == 1 { 2000 } else { 10_000 });
    let seconds = TEN_SECONDS.replace("30s", "25s");
    let record = run(&plan_with(&scenario(LOGIN, &seconds), 2, &[]), &server);
    let outcomes = &phase_of(&record).total.outcomes;
    // Two users, ten milliseconds each, for the forty milliseconds of the login and a little more.
    let refused = outcomes.of(Outcome::BadStatus);
    assert!((8..=12).contains(&refused), "{refused}");
    assert_eq!(outcomes.of(Outcome::Ok), 5000 - refused);
    let ends: Vec<_> = record
        .logins
        .iter()
        .map(|login| (login.at_ns / 1_000_000_000, login.after_refusal))
        .collect();
    assert_eq!(
        ends,
        [(0, false), (7, false), (9, true), (16, false), (23, false)]
    );

    // One that is refused while its successor is being asked for needs no other one.
    let server = guarded_for(|_| false, |number| if number == 0 { 7020 } else { 10_000 });
    let record = run(&plan_with(&scenario(LOGIN, &seconds), 2, &[]), &server);
    assert!(phase_of(&record).total.outcomes.of(Outcome::BadStatus) > 0);
    let ends: Vec<_> = record
        .logins
        .iter()
        .map(|login| (login.at_ns / 1_000_000_000, login.after_refusal))
        .collect();
    assert_eq!(ends, [(0, false), (7, false), (14, false), (21, false)]);

    // One whose tokens never serve is asked ever less often: after 0.5, 1, 2, 4, 8 and 16 seconds.
    let server = guarded_for(|_| false, |_| 0);
    let plan = plan_with(
        &scenario(LOGIN, &TEN_SECONDS.replace("30s", "20s")).replace(
            "expires_in = \"/expires_in\"\nrefresh_before = \"3s\"\n",
            "",
        ),
        2,
        &[],
    );
    let record = run(&plan, &server);
    assert_eq!(phase_of(&record).total.outcomes.of(Outcome::Ok), 0);
    let at: Vec<_> = record
        .logins
        .iter()
        .map(|login| login.at_ns / 500_000_000)
        .collect();
    assert_eq!(at, [0, 1, 3, 7, 15, 31]);
}

#[test]
fn a_login_that_fails_is_tried_again_and_a_lapse_is_told() {
    // The first renewal fails twice, and is there in time all the same.
    let record = run(
        &plan_with(&scenario(LOGIN, TEN_SECONDS), 1, &[]),
        &guarded(|number| [1, 2].contains(&number)),
    );
    let phase = phase_of(&record);
    assert_eq!(phase.total.outcomes.not_ok(), 0);
    let failed: Vec<_> = record
        .logins
        .iter()
        .filter(|login| login.outcome != Outcome::Ok)
        .collect();
    assert_eq!(failed.len(), 2);
    assert_eq!(
        failed[0].failure.as_ref().unwrap().cause,
        Cause::Status(503)
    );

    // It fails until the token has ended: what is sent then is refused, and nobody is blamed unheard.
    let entries = crate::support::entries_of(
        &plan_with(&scenario(LOGIN, TEN_SECONDS), 1, &[]),
        &guarded(|number| (1..5).contains(&number)),
        crate::support::Circumstances::default(),
    );
    let journal = serde_json::to_string(&entries).unwrap();
    assert!(!journal.contains("s3cret"), "{journal}");
    assert!(journal.contains("of *** is not valid"));
    let record = RunRecord::from_journal(entries).unwrap();
    let phase = &record.phases[0];
    assert!(phase.total.outcomes.of(Outcome::BadStatus) > 100);
    assert!(phase.total.outcomes.of(Outcome::Ok) > 3000);
    let lapse = record.doubts.iter().find_map(|doubt| match doubt {
        Doubt::TokenLapsed { from_ns, for_ns } => {
            Some((from_ns / 1_000_000_000, for_ns / 1_000_000_000))
        }
        _ => None,
    });
    // Renewals after 7 s, and 0.5, 1, 2 and 4 s after each that failed: the fifth is there after 14.7 s.
    assert_eq!(lapse, Some((10, 4)));
}
