//! Sources against real servers on loopback.

use super::fetch::Answer;
use super::*;
use crate::diag::SourceText;
use crate::scenario::{self, Lookup, Select, SourceMetric, Take, Telemetry};
use crate::telemetry::scripted::{Reply, Scripted};
use crate::units::Dimension;
use std::collections::BTreeMap;

struct Outside;

impl Lookup for Outside {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "METRICS_TOKEN").then(|| "s3cret-token".to_owned())
    }

    fn file(&self, _path: &str) -> Result<String, String> {
        Err("no such file".to_owned())
    }
}

fn telemetry(text: &str) -> Telemetry {
    let text = format!(
        "name = \"t\"\n[target]\nurl = \"http://127.0.0.1:9\"\n[request.a]\npath = \"/\"\n\
         [[phase]]\nname = \"p\"\nconcurrency = 1\nduration = \"5s\"\n[telemetry]\n{text}"
    );
    let (scenario, found) = scenario::parse(&SourceText::new("t.toml", text), &Outside);
    assert!(found.is_empty(), "{found}");
    scenario.telemetry
}

/// The probe of the only source in this text, at a server.
fn probe(server: &Scripted, text: &str) -> MetricProbe {
    let text = text.replace("URL", &server.url(""));
    let telemetry = telemetry(&text);
    metric_source(&telemetry.sources[0], ("127.0.0.1", server.address.port()))
}

fn sample(probe: &mut MetricProbe) -> Result<Vec<Option<f64>>, String> {
    let mut values = Vec::new();
    probe.sample(&mut values).map(|()| values)
}

fn lack(probe: &MetricProbe, place: usize) -> String {
    probe.info().series[place].lack.clone().unwrap_or_default()
}

const PAGE: &str = r#"# TYPE queue gauge
queue{model="a"} 7
queue{model="b"} 5
jobs_seconds 0.25
kv_cache NaN
"#;

#[test]
fn one_value_of_each_named_metric() {
    let server = Scripted::page(PAGE);
    let mut probe = probe(
        &server,
        r#"prometheus = [{ name = "server", url = "URL/metrics", metrics = {
            queue.a = { metric = "queue", labels = { model = "a" } },
            queue.all = { metric = "queue", combine = "sum" },
            queue.worst = { metric = "queue", combine = "max" },
            queue.any = "queue",
            "jobs" = "jobs_seconds",
            jobs_ms = { metric = "jobs_seconds", unit = "ms" },
            kv = "kv_cache",
            gone = "gone",
        } }]"#,
    );
    let names: Vec<String> = probe
        .info()
        .series
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        names,
        [
            "server.queue.a",
            "server.queue.all",
            "server.queue.worst",
            "server.queue.any",
            "server.jobs",
            "server.jobs_ms",
            "server.kv",
            "server.gone"
        ]
    );
    assert_eq!(
        sample(&mut probe),
        Ok(vec![
            Some(7.0),
            Some(12.0),
            Some(7.0),
            None,
            Some(0.25),
            Some(0.000_25),
            None,
            None
        ])
    );
    assert!(
        lack(&probe, 3).contains("stands for 2 series"),
        "{}",
        lack(&probe, 3)
    );
    assert!(lack(&probe, 6).contains("not a finite number"));
    assert!(lack(&probe, 7).contains("`gone` is not there"));
    assert_eq!(lack(&probe, 0), "");
}

#[test]
fn counters_are_rates_and_a_reset_is_a_gap() {
    // The probe asks once by itself; then come 10 more, 20 more, a restart, and 4 more; then one more
    // label, and the same again.
    let counts = [
        "5",
        "15",
        "35",
        "2",
        "6",
        "6\nhits_total{code=\"500\"} 1",
        "6\nhits_total{code=\"500\"} 1",
    ];
    let server = Scripted::new(move |asked| {
        Reply::Page(format!(
            "hits_total{{code=\"200\"}} {}\n",
            counts[asked.number]
        ))
    });
    let mut probe = probe(
        &server,
        r#"prometheus = [{ name = "s", url = "URL/metrics", metrics = { hits = { metric = "hits_total", combine = "sum" } } }]"#,
    );
    let grew = |found: Result<Vec<Option<f64>>, String>| {
        found.expect("an answer")[0].map(|rate| rate > 0.0)
    };
    assert_eq!(grew(sample(&mut probe)), Some(true));
    assert_eq!(grew(sample(&mut probe)), Some(true));
    assert_eq!(
        grew(sample(&mut probe)),
        None,
        "after a reset nothing is known"
    );
    assert_eq!(grew(sample(&mut probe)), Some(true));
    assert_eq!(
        grew(sample(&mut probe)),
        None,
        "a new series may have any past"
    );
    assert_eq!(grew(sample(&mut probe)), Some(false));
}

#[test]
fn the_arithmetic_of_rates_and_quantiles() {
    let metric = |name: &str, take| SourceMetric {
        name: "s.x".to_owned(),
        select: Select::Series {
            metric: name.to_owned(),
            labels: BTreeMap::new(),
            take,
            combine: None,
        },
        dimension: Dimension::Count,
        factor: 1.0,
    };
    let mut finder = Finder::new(&[
        metric("hits_total", Take::Rate),
        metric("wait_seconds", Take::Quantile(0.5)),
    ]);
    let start = Instant::now();
    let mut read = |seconds: u64, page: &str| -> Vec<Option<f64>> {
        let answer = Answer {
            text: page.to_owned(),
        };
        let now = start + Duration::from_secs(seconds);
        let found = finder.read(now, vec![Ok(answer)]).expect("a page");
        found.into_iter().map(Result::ok).collect()
    };
    let page = |hits: u32, low: u32, all: u32| {
        format!(
            "hits_total {hits}\nwait_seconds_bucket{{le=\"0.1\"}} {low}\n\
             wait_seconds_bucket{{le=\"+Inf\"}} {all}\n"
        )
    };
    assert_eq!(read(0, &page(100, 50, 50)), [None, None]);
    // 30 in 2 s; eight of eight below 0.1 s.
    assert_eq!(read(2, &page(130, 58, 58)), [Some(15.0), Some(0.05)]);
    // Nothing happened: a rate of zero, and no median of nothing.
    assert_eq!(read(3, &page(130, 58, 58)), [Some(0.0), None]);
    // Most lie above the last bound: the median is only known to be larger.
    assert_eq!(read(4, &page(131, 59, 68)), [Some(1.0), None]);
}

#[test]
fn what_is_no_answer_is_lost_with_its_reason_and_comes_back() {
    let raw = |text: &str| Reply::Raw(text.as_bytes().to_vec());
    let server = Scripted::new(move |asked| match asked.number {
        0 | 8 => Reply::Page("up 1\n".to_owned()),
        1 => raw("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
        2 => raw("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"),
        3 => raw("HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n"),
        4 => raw("not HTTP at all\r\n\r\n"),
        5 => raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nup 1\n"),
        6 => Reply::Page("<html>log in</html>".to_owned()),
        7 => {
            let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
            bytes.resize(fetch::LARGEST_BODY + 100, b'#');
            Reply::Raw(bytes)
        }
        _ => raw("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n\u{7f}"),
    });
    let mut probe = probe(
        &server,
        r#"prometheus = [{ name = "s", url = "URL/metrics", timeout = "30s", metrics = { up = "up" } }]"#,
    );
    for expected in [
        "it answered with status 503",
        "status 401: set `headers`",
        "status 302: give the address",
        "no answer: ",
        "the answer broke off",
        "no page of metrics",
        "larger than 32",
    ] {
        let error = sample(&mut probe).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(sample(&mut probe), Ok(vec![Some(1.0)]));
}

#[test]
fn a_server_that_is_not_there_is_a_source_that_may_come() {
    let server = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        Scripted {
            address: listener.local_addr().expect("bound"),
        }
    };
    let mut probe = probe(
        &server,
        r#"prometheus = [{ name = "s", url = "URL/metrics", metrics = { up = "up" } }]"#,
    );
    assert_eq!(probe.info().state, SourceState::Present);
    let error = sample(&mut probe).expect_err("nobody listens");
    assert!(error.contains("cannot connect"), "{error}");
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let server = Scripted::new(|asked| {
        let authorized = asked
            .head
            .contains("authorization: Bearer s3cret-token\r\n");
        Reply::Page(format!("authorized {}\n", u8::from(authorized)))
    });
    let mut probe = probe(
        &server,
        r#"prometheus = [{ name = "s", url = "URL/m", headers = { authorization = "Bearer ${METRICS_TOKEN}" }, metrics = { ok = "authorized" } }]"#,
    );
    assert_eq!(sample(&mut probe), Ok(vec![Some(1.0)]));
    assert!(!format!("{probe:?}").contains("s3cret"), "{probe:?}");
    let telemetry = telemetry(
        r#"prometheus = [{ name = "s", url = "/m", headers = { x-api-key = "${METRICS_TOKEN}" }, metrics = { ok = "ok" } }]"#,
    );
    let secrets: Vec<&String> = telemetry.secrets().collect();
    assert_eq!(secrets, ["s3cret-token"]);
}

#[test]
fn queries_and_documents() {
    let server = Scripted::new(|asked| {
        let value = |value: &str| {
            Reply::Page(format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1,"{value}"]}}]}}}}"#
            ))
        };
        match asked.head.split(' ').nth(1).unwrap_or_default() {
            path if path.starts_with("/api/v1/query?query=sum%28queue%29&") => value("12"),
            path if path.starts_with("/api/v1/query?query=replicas&") => value("3"),
            "/health/detailed" => {
                Reply::Page(r#"{"workers":{"ready":2,"names":["a","b"],"state":"ok"}}"#.to_owned())
            }
            path => panic!("{path}"),
        }
    });
    let mut queries = probe(
        &server,
        r#"promql = [{ name = "cluster", url = "URL", metrics = { queue = "sum(queue)", replicas = { query = "replicas", unit = "1" } } }]"#,
    );
    assert_eq!(sample(&mut queries), Ok(vec![Some(12.0), Some(3.0)]));
    let mut document = probe(
        &server,
        r#"json = [{ name = "health", url = "/health/detailed", metrics = { ready = "/workers/ready", count = "/workers/names", state = "/workers/state", gone = "/gone" } }]"#,
    );
    assert_eq!(
        sample(&mut document),
        Ok(vec![Some(2.0), Some(2.0), None, None])
    );
    assert!(lack(&document, 2).contains("neither a number"));
    assert!(lack(&document, 3).contains("nothing at `/gone`"));
}

#[test]
fn a_server_that_says_nothing_costs_no_more_than_the_timeout() {
    let server = Scripted::new(|_| Reply::Silence);
    let mut probe = probe(
        &server,
        r#"prometheus = [{ name = "s", url = "URL/metrics", timeout = "50ms", metrics = { up = "up" } }]"#,
    );
    let error = sample(&mut probe).expect_err("silence");
    assert!(error.contains("no answer within 50"), "{error}");
}
