//! Scenario files: the shipped ones are sound, and every fault of a bad one is shown where it stands.

use crate::support::Outside;
use bench::cli::draw;
use bench::diag::{Diagnostics, SourceText};
use bench::plan::{self, Facts, Plan};
use bench::scenario;
use std::collections::BTreeMap;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads and compiles as `bench check` does, with the data files beside the scenario.
fn compile(folder: &str, name: &str, outside: &Outside) -> (SourceText, Result<Plan, Diagnostics>) {
    let folder = root().join(folder);
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    compile_text(&folder, name, text, outside)
}

fn compile_text(
    folder: &Path,
    name: &str,
    text: String,
    outside: &Outside,
) -> (SourceText, Result<Plan, Diagnostics>) {
    let source = SourceText::new(name, text);
    let (scenario, mut found) = scenario::parse(&source, outside);
    let data_files: BTreeMap<_, _> = scenario
        .all_requests()
        .filter_map(|request| request.data.as_ref())
        .map(|data| {
            let file = data.file.value.clone();
            let text = std::fs::read_to_string(folder.join(&file))
                .map_err(|_| "No such file or directory".to_owned());
            (file, text)
        })
        .collect();
    let facts = Facts {
        data_files,
        cores: 2,
    };
    let plan = match plan::compile(&scenario, &facts, 1) {
        Ok(plan) if !found.has_errors() => Ok(plan),
        Ok(_) => Err(found),
        Err(more) => {
            found.extend(more);
            Err(found)
        }
    };
    (source, plan)
}

fn faults_of(name: &str) -> String {
    let (source, plan) = compile("tests/data/bad", name, &Outside::default());
    draw(&source, &plan.expect_err("the scenario has faults"), false)
}

/// A scenario with one line of `[request.x]` or of the phase replaced, and its faults.
fn faults_with(line: &str) -> String {
    let text = format!(
        "name = \"x\"\n[target]\nurl = \"http://h\"\n[request.x]\npath = \"/\"\n{line}\n\
         [[phase]]\nname = \"p\"\nconcurrency = 1\nduration = \"5s\"\n"
    );
    let (_, plan) = compile_text(root(), "x.toml", text, &Outside::default());
    plan.err()
        .map(|found| found.to_string())
        .unwrap_or_default()
}

#[test]
fn every_shipped_scenario_compiles_as_it_is() {
    let mut names: Vec<String> = root()
        .join("scenarios")
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "autoscale.toml",
            "chat.toml",
            "jobs.toml",
            "prod.toml",
            "quickstart.toml",
            "soak-short.toml",
            "soak.toml"
        ]
    );
    for name in names {
        let (source, plan) = compile("scenarios", &name, &Outside::default());
        if let Err(found) = plan {
            panic!("{}", draw(&source, &found, false));
        }
    }
}

#[test]
fn the_production_scenario_asks_what_the_checklist_asks() {
    let (_, plan) = compile("scenarios", "prod.toml", &Outside::default());
    let plan = plan.unwrap();
    let phases: Vec<(u32, Vec<&str>)> = plan
        .phases
        .iter()
        .map(|phase| {
            let gates = phase.gates.iter().map(|gate| gate.text.as_str()).collect();
            (phase.load.slots(), gates)
        })
        .collect();
    let latency = "response.p99 < 100ms";
    assert_eq!(
        phases,
        [
            (100, vec![latency, "error_rate < 1%"]),
            (
                1000,
                vec![latency, "error_rate < 1%", "gpu.utilization > 70%"]
            ),
        ]
    );
}

#[test]
fn every_fault_is_shown_at_once_where_it_stands() {
    insta::assert_snapshot!(faults_of("many-faults.toml"), @r#"
    error[invalid-value]: a scenario's name consists of letters, digits, `-`, `_` and `.`, at most 64 of them
     --> many-faults.toml:1:8
      |
    1 | name = "many faults"
      |        ^^^^^^^^^^^^^

    error[unknown-key]: unknown key `colour` in the scenario
     --> many-faults.toml:2:1
      |
    2 | colour = "red"
      | ^^^^^^
      |
      = help: known keys: flow, gates, history, login, name, phase, request, slo, target, telemetry

    error[invalid-value]: a URL begins with `http://` or `https://`
     --> many-faults.toml:5:7
      |
    5 | url = "htp://127.0.0.1:8000"
      |       ^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write "http://host:port", or "reference" for the built-in API

    error[wrong-type]: `timeout` is a duration such as "100ms" (ns, us, ms, s, m, h, d)
     --> many-faults.toml:6:11
      |
    6 | timeout = 10
      |           ^^ this is an integer

    error[missing-variable]: the environment variable `BENCH_TOKEN` is not set
     --> many-faults.toml:7:37
      |
    7 | headers = { authorization = "Bearer ${BENCH_TOKEN}", "bad header" = "x" }
      |                                     ^^^^^^^^^^^^^^
      |
      = help: set it, or give a default: `${BENCH_TOKEN:-…}`

    error[invalid-value]: `bad header` is not a header name
     --> many-faults.toml:7:54
      |
    7 | headers = { authorization = "Bearer ${BENCH_TOKEN}", "bad header" = "x" }
      |                                                      ^^^^^^^^^^^^

    error[invalid-value]: `PSOT` is not an HTTP method
      --> many-faults.toml:10:10
       |
    10 | method = "PSOT"
       |          ^^^^^^
       |
       = help: did you mean "POST"?

    error[invalid-value]: a path begins with `/`
      --> many-faults.toml:11:8
       |
    11 | path = "v1/inference"
       |        ^^^^^^^^^^^^^^
       |
       = help: the host stands in [target] url

    error[missing-key]: `{{data.inputs}}` needs a data file
      --> many-faults.toml:12:33
       |
    12 | json = { model = "m", inputs = "{{data.inputs}}", when = 2026-11-23, pick = "{{pik:a,b}}" }
       |                                 ^^^^^^^^^^^^^^^
       |
       = help: add data = "file.jsonl" (or .csv) to [request.infer]

    error[wrong-type]: JSON has no dates
      --> many-faults.toml:12:58
       |
    12 | json = { model = "m", inputs = "{{data.inputs}}", when = 2026-11-23, pick = "{{pik:a,b}}" }
       |                                                          ^^^^^^^^^^
       |
       = help: put the date in quotes

    error[invalid-template]: unknown placeholder `pik:a,b`
      --> many-faults.toml:12:78
       |
    12 | json = { model = "m", inputs = "{{data.inputs}}", when = 2026-11-23, pick = "{{pik:a,b}}" }
       |                                                                              ^^^^^^^^^^^
       |
       = help: known are `data.FIELD`, `data.FIELD | json`, `pick:a,b`, `int:1,100`, `number`, `uuid`, `capture.NAME`, `login.token`

    error[unknown-key]: unknown key `expects` in [request.infer]
      --> many-faults.toml:13:1
       |
    13 | expects = { status = 200 }
       | ^^^^^^^
       |
       = help: did you mean `expect`?

    error[conflict]: a request has `json` or `body`, not both
      --> many-faults.toml:17:1
       |
    17 | body = "a"
       | ^^^^

    error[unreadable-file]: cannot read the data file `missing.jsonl`: No such file or directory
      --> many-faults.toml:19:8
       |
    19 | data = "missing.jsonl"
       |        ^^^^^^^^^^^^^^^
       |
       = help: the path is relative to the folder of the scenario

    error[invalid-value]: `status` is an HTTP status, or an array of them
      --> many-faults.toml:20:21
       |
    20 | expect = { status = "ok", json = { "status" = "completed" } }
       |                     ^^^^
       |
       = help: for example status = 200 or status = [200, 202]; without it, any 2xx is right

    error[invalid-value]: `status` is not a JSON pointer
      --> many-faults.toml:20:36
       |
    20 | expect = { status = "ok", json = { "status" = "completed" } }
       |                                    ^^^^^^^^
       |
       = help: a pointer begins with `/`: "/status"

    error[missing-key]: [[phase]] needs `concurrency`, `rate` or `trace`
      --> many-faults.toml:22:1
       |
    22 | [[phase]]
       | ^^^^^^^^^
       |
       = help: concurrency = 100 keeps 100 requests in flight; rate = 500 sends 500 a second

    error[unknown-key]: unknown key `concurency` in [[phase]]
      --> many-faults.toml:24:1
       |
    24 | concurency = 100
       | ^^^^^^^^^^
       |
       = help: did you mean `concurrency`?

    error[invalid-value]: `duration`: unknown unit `parsecs`
      --> many-faults.toml:25:12
       |
    25 | duration = "30 parsecs"
       |            ^^^^^^^^^^^^
       |
       = help: it is a duration such as "100ms" (ns, us, ms, s, m, h, d)

    error[invalid-gate]: unknown metric `respons.p99`
      --> many-faults.toml:26:11
       |
    26 | gates = ["respons.p99 < 100ms", "response.p99 < 70%", "error_rate > 1%"]
       |           ^^^^^^^^^^^
       |
       = help: did you mean `response.p99`?

    error[invalid-gate]: `70%` does not fit `response.p99`
      --> many-faults.toml:26:49
       |
    26 | gates = ["respons.p99 < 100ms", "response.p99 < 70%", "error_rate > 1%"]
       |                                                 ^^^
       |
       = help: `response.p99` is compared with a duration such as `100ms` (ns, us, ms, s, m, h, d)

    error[invalid-gate]: `error_rate` is bounded from above
      --> many-faults.toml:26:67
       |
    26 | gates = ["respons.p99 < 100ms", "response.p99 < 70%", "error_rate > 1%"]
       |                                                                   ^
       |
       = help: write `error_rate < …`

    error[conflict]: there are two phases named `c100`
      --> many-faults.toml:29:8
       |
    29 | name = "c100"
       |        ^^^^^^
       |
       = help: gates and reports refer to phases by name

    error[wrong-type]: `concurrency` is a whole number from 1 to 1000000
      --> many-faults.toml:30:15
       |
    30 | concurrency = "100"
       |               ^^^^^
       |
       = help: write numbers without quotes: concurrency = 100

    error[conflict]: a phase ends after `duration` or after `count`, not both
      --> many-faults.toml:32:1
       |
    32 | count = 100
       | ^^^^^

    error[unknown-name]: there is no request named `infr`
      --> many-faults.toml:33:13
       |
    33 | requests = ["infr"]
       |             ^^^^^^
       |
       = help: did you mean "infer"?

    error[impossible-promise]: `response.p99 < 100ms` can never pass: it takes at least 299 requests, and the phase plans 100
      --> many-faults.toml:39:10
       |
    39 | gates = ["response.p99 < 100ms", "gpu.utilization > 70%"]
       |          ^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: set count = 2990 or more in phase `short`

    error[invalid-value]: `nvlm` is not a source of GPU telemetry
      --> many-faults.toml:42:7
       |
    42 | gpu = "nvlm"
       |       ^^^^^^
       |
       = help: `gpu` is "auto", "nvml", "none", { nvml = "/path/to/libnvidia-ml.so.1" }, { dcgm = ["http://gpu-1:9400/metrics"] } or { agent = ["http://gpu-1:9500"] }

    28 errors in `many-faults.toml`
    "#);
}

#[test]
fn faults_of_flows_are_shown_where_they_stand() {
    insta::assert_snapshot!(faults_of("flows.toml"), @r#"
    warning[missing-key]: no request sends the token of [login]
     --> flows.toml:6:1
      |
    6 | [login]
      | ^^^^^^^
      |
      = help: in [target]: headers = { authorization = "Bearer {{login.token}}" }

    error[invalid-template]: the login itself has no token yet
     --> flows.toml:7:16
      |
    7 | path = "/login/{{login.token}}"
      |                ^^^^^^^^^^^^^^^

    warning[literal-secret]: `password` is written into the scenario
     --> flows.toml:8:21
      |
    8 | json = { password = "hunter2", nested = { api_key = "abc" } }
      |                     ^^^^^^^^^
      |
      = help: take it from the environment, "${BENCH_PASSWORD}", or from a file, "${file:password}"
      = help: it is left out of records and reports

    warning[literal-secret]: `api_key` is written into the scenario
     --> flows.toml:8:53
      |
    8 | json = { password = "hunter2", nested = { api_key = "abc" } }
      |                                                     ^^^^^
      |
      = help: take it from the environment, "${BENCH_PASSWORD}", or from a file, "${file:password}"
      = help: it is left out of records and reports

    error[unknown-key]: unknown key `retry` in [login]
     --> flows.toml:9:1
      |
    9 | retry = {}
      | ^^^^^
      |
      = help: known keys: body, data, expect, expires_in, headers, json, lifetime, method, path, refresh_before, token

    error[conflict]: the answer to a login is not streamed
      --> flows.toml:10:12
       |
    10 | expect = { finish = "stop" }
       |            ^^^^^^
       |
       = help: `finish` and `ends_with` are about streams

    error[conflict]: `token` is captured from `json` or from `header`
      --> flows.toml:11:9
       |
    11 | token = { json = "/a", header = "b" }
       |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: write { json = "/pointer" } or { header = "name" }

    error[invalid-value]: `seconds` is not a JSON pointer
      --> flows.toml:12:14
       |
    12 | expires_in = "seconds"
       |              ^^^^^^^^^
       |
       = help: a pointer begins with `/`: "/seconds"

    error[conflict]: a token is valid for `expires_in` or for `lifetime`, not both
      --> flows.toml:13:1
       |
    13 | lifetime = "1h"
       | ^^^^^^^^

    error[unknown-name]: `{{capture.id}}` has no value here: only steps of a flow capture any
      --> flows.toml:16:10
       |
    16 | path = "/{{capture.id}}"
       |          ^^^^^^^^^^^^^^
       |
       = help: put both requests into one [[flow]], as its steps

    error[invalid-value]: `status` is an HTTP status, or an array of them
      --> flows.toml:17:20
       |
    17 | retry = { status = "429", times = 0, pause = "1m" }
       |                    ^^^^^
       |
       = help: for example status = 200 or status = [200, 202]; without it, 429 and 503 are tried again

    error[invalid-value]: `times` is a whole number from 1 to 100
      --> flows.toml:17:35
       |
    17 | retry = { status = "429", times = 0, pause = "1m" }
       |                                   ^

    error[conflict]: the longest wait is shorter than the first one
      --> flows.toml:17:38
       |
    17 | retry = { status = "429", times = 0, pause = "1m" }
       |                                      ^^^^^
       |
       = help: `pause` is the wait where the server does not say, `longest` the limit of any wait

    error[conflict]: there is already a request or a flow named `alone`
      --> flows.toml:20:8
       |
    20 | name = "alone"
       |        ^^^^^^^
       |
       = help: gates and reports refer to both by name

    error[unknown-name]: no earlier step of the flow captures `id`
      --> flows.toml:24:12
       |
    24 | path = "/a/{{capture.id}}"
       |            ^^^^^^^^^^^^^^
       |
       = help: capture it in an earlier step of the flow: capture = { id = "/id" }

    error[unknown-key]: unknown key `weight` in [[flow.step]]
      --> flows.toml:25:1
       |
    25 | weight = 2
       | ^^^^^^
       |
       = help: known keys: body, capture, data, expect, headers, json, method, name, path, poll, retry, shape, stream

    error[invalid-value]: `id` is not a JSON pointer
      --> flows.toml:26:18
       |
    26 | capture = { id = "id", both = { json = "/a", header = "b" }, none = { secret = true }, head = { header = "a b" } }
       |                  ^^^^
       |
       = help: a pointer begins with `/`: "/id"

    error[conflict]: `both` is captured from `json` or from `header`
      --> flows.toml:26:31
       |
    26 | capture = { id = "id", both = { json = "/a", header = "b" }, none = { secret = true }, head = { header = "a b" } }
       |                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: write { json = "/pointer" } or { header = "name" }

    error[conflict]: `none` is captured from `json` or from `header`
      --> flows.toml:26:69
       |
    26 | capture = { id = "id", both = { json = "/a", header = "b" }, none = { secret = true }, head = { header = "a b" } }
       |                                                                     ^^^^^^^^^^^^^^^^^
       |
       = help: write { json = "/pointer" } or { header = "name" }

    error[invalid-value]: `a b` is not a header name
      --> flows.toml:26:106
       |
    26 | capture = { id = "id", both = { json = "/a", header = "b" }, none = { secret = true }, head = { header = "a b" } }
       |                                                                                                          ^^^^^

    error[conflict]: the flow has two steps named `first`
      --> flows.toml:29:8
       |
    29 | name = "first"
       |        ^^^^^^^
       |
       = help: gates and reports refer to steps by name

    error[unknown-name]: no earlier step of the flow captures `idd`
      --> flows.toml:30:12
       |
    30 | path = "/b/{{capture.idd}}"
       |            ^^^^^^^^^^^^^^^
       |
       = help: did you mean `{{capture.id}}`?

    error[invalid-value]: an expectation can use `{{data.FIELD}}` only: other placeholders have no value to be compared with
      --> flows.toml:31:21
       |
    31 | expect = { json = { "/id" = "{{capture.id}}" } }
       |                     ^^^^^

    error[missing-key]: `until` says nothing
      --> flows.toml:32:18
       |
    32 | poll = { until = {}, every = "5s", limit = "1s" }
       |                  ^^
       |
       = help: write { status = 200 }, { json = { "/status" = "completed" } }, or both

    error[conflict]: the limit ends before the second request: it is shorter than `every`
      --> flows.toml:32:36
       |
    32 | poll = { until = {}, every = "5s", limit = "1s" }
       |                                    ^^^^^
       |
       = help: give it the time that the work may take

    error[missing-key]: poll needs `until`
      --> flows.toml:38:8
       |
    38 | poll = { untill = { status = 200 } }
       |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: for example until = { json = { "/status" = "completed" } }

    error[missing-key]: poll needs `every`
      --> flows.toml:38:8
       |
    38 | poll = { untill = { status = 200 } }
       |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: for example every = "100ms"

    error[missing-key]: poll needs `limit`
      --> flows.toml:38:8
       |
    38 | poll = { untill = { status = 200 } }
       |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: for example limit = "30s"

    error[unknown-key]: unknown key `untill` in poll
      --> flows.toml:38:10
       |
    38 | poll = { untill = { status = 200 } }
       |          ^^^^^^
       |
       = help: did you mean `until`?

    error[missing-key]: [[flow]] needs `step`
      --> flows.toml:40:1
       |
    40 | [[flow]]
       | ^^^^^^^^
       |
       = help: write [[flow.step]] below it, with name and path, for each request

    error[unknown-name]: there is no flow named `alnoe`
      --> flows.toml:47:10
       |
    47 | flows = ["alnoe"]
       |          ^^^^^^^
       |
       = help: did you mean "alone"?

    error[unknown-name]: there is no request named `empty`
      --> flows.toml:48:13
       |
    48 | requests = ["empty"]
       |             ^^^^^^^
       |
       = help: known requests: alone

    29 errors and 3 warnings in `flows.toml`
    "#);
}

#[test]
fn gates_on_flows_that_nothing_could_decide_are_refused() {
    insta::assert_snapshot!(faults_of("flow-gates.toml"), @r#"
    error[impossible-promise]: `ttfb < 50ms` cannot be judged: a flow has an answer for each step, and no first byte
     --> flow-gates.toml:2:8
      |
    2 | slo = ["ttfb < 50ms"]
      |        ^^^^^^^^^^^^^
      |
      = help: name a step, as in `ttfb.p99{step=job/submit} < 50ms`, or a request

    error[unknown-name]: there is no flow named `infer`
      --> flow-gates.toml:22:5
       |
    22 |     "response.p95{flow=infer} < 1s",
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: it is a request: write `{request=infer}`

    error[unknown-name]: the phase does not run the request `infer`
      --> flow-gates.toml:23:5
       |
    23 |     "response.p95{request=infer} < 1s",
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: add it to `requests` or `flows` of the phase

    error[unknown-name]: there is no step named `job/sumbit`
      --> flow-gates.toml:24:5
       |
    24 |     "response.p95{step=job/sumbit} < 1s",
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: did you mean `{step=job/submit}`?

    error[invalid-gate]: `submit` is not a step of a flow
      --> flow-gates.toml:25:6
       |
    25 |     "response.p95{step=submit} < 1s",
       |      ^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: write the flow before it: `response.p95{step=job/submit} < …`

    error[invalid-gate]: nothing is chosen by `flwo`
      --> flow-gates.toml:26:6
       |
    26 |     "response.p95{flwo=job} < 1s",
       |      ^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: did you mean `flow`?

    error[invalid-gate]: `{job}` chooses nothing
      --> flow-gates.toml:27:6
       |
    27 |     "response.p95{job} < 1s",
       |      ^^^^^^^^^^^^^^^^^^
       |
       = help: write for example `response.p95{request=infer} < …`

    error[impossible-promise]: `ttfb.p95{flow=job} < 1s` cannot be judged: a flow has an answer for each step, and no first byte
      --> flow-gates.toml:28:5
       |
    28 |     "ttfb.p95{flow=job} < 1s",
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: name a step, as in `ttfb.p99{step=job/submit} < 50ms`, or a request

    error[impossible-promise]: `ttfb.p95 < 1s` cannot be judged: a flow has an answer for each step, and no first byte
      --> flow-gates.toml:29:5
       |
    29 |     "ttfb.p95 < 1s",
       |     ^^^^^^^^^^^^^^^
       |
       = help: name a step, as in `ttfb.p99{step=job/submit} < 50ms`, or a request

    error[impossible-promise]: `ttft.p95{step=job/submit} < 1s` cannot be judged: no request that it is about is answered by a stream
      --> flow-gates.toml:30:5
       |
    30 |     "ttft.p95{step=job/submit} < 1s",
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: say so in the request: stream = "sse" and shape = "openai-chat"

    error[impossible-promise]: `goodput{step=job/submit} > 1/s` cannot be judged: objectives are those of whole flows
      --> flow-gates.toml:31:5
       |
    31 |     "goodput{step=job/submit} > 1/s",
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: name the flow, or gate on a latency of the step

    error[invalid-gate]: `host.memory` is sampled, and not a matter of single requests
      --> flow-gates.toml:32:6
       |
    32 |     "host.memory{flow=job} < 90%",
       |      ^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: leave out `{flow=…}`

    12 errors in `flow-gates.toml`
    "#);
}

#[test]
fn faults_of_streams_are_shown_where_they_stand() {
    insta::assert_snapshot!(faults_of("streams.toml"), @r#"
    error[invalid-gate]: `ttft.p99` is not a latency of one request
     --> streams.toml:2:9
      |
    2 | slo = ["ttft.p99 < 250ms", "response < soon", "itl < 10ms"]
      |         ^^^^^^^^^
      |
      = help: an objective is met by each request or not: write `ttft < …`, and gate `goodput`

    error[invalid-gate]: `soon` does not begin with a number
     --> streams.toml:2:39
      |
    2 | slo = ["ttft.p99 < 250ms", "response < soon", "itl < 10ms"]
      |                                       ^^^^^
      |
      = help: write for example `ttft < 250ms`

    error[invalid-value]: `ssse` is not a format of streams
     --> streams.toml:9:10
      |
    9 | stream = "ssse"
      |          ^^^^^^
      |
      = help: did you mean "sse"?

    error[invalid-value]: `openai-cat` is not a shape of streams
      --> streams.toml:14:9
       |
    14 | shape = "openai-cat"
       |         ^^^^^^^^^^^^
       |
       = help: did you mean "openai-chat"?

    error[invalid-value]: `message.content` is not a JSON pointer
      --> streams.toml:19:18
       |
    19 | shape = { text = "message.content", finsh = "/done" }
       |                  ^^^^^^^^^^^^^^^^^
       |
       = help: a pointer begins with `/`: "/message/content"

    error[unknown-key]: unknown key `finsh` in shape
      --> streams.toml:19:37
       |
    19 | shape = { text = "message.content", finsh = "/done" }
       |                                     ^^^^^
       |
       = help: did you mean `finish`?

    error[conflict]: the shape of the stream knows no `finish`
      --> streams.toml:20:25
       |
    20 | expect = { ends_with = ["finish", "stop"], finish = "stop" }
       |                         ^^^^^^^^
       |
       = help: add finish = … to the shape

    error[invalid-value]: a stream does not end with `stop`
      --> streams.toml:20:35
       |
    20 | expect = { ends_with = ["finish", "stop"], finish = "stop" }
       |                                   ^^^^^^
       |
       = help: known are "finish", the reason of the end, and "done", its mark; [] accepts any answer that is complete as HTTP

    error[conflict]: no event of this shape says why the answer is over
      --> streams.toml:20:44
       |
    20 | expect = { ends_with = ["finish", "stop"], finish = "stop" }
       |                                            ^^^^^^
       |
       = help: add finish = "/pointer" to the shape

    error[missing-key]: this speaks of a stream, and the request has none
      --> streams.toml:24:1
       |
    24 | shape = "openai-chat"
       | ^^^^^
       |
       = help: add stream = "sse" or stream = "ndjson" to the request

    error[missing-key]: this speaks of a stream, and the request has none
      --> streams.toml:28:12
       |
    28 | expect = { finish = "stop" }
       |            ^^^^^^
       |
       = help: add stream = "sse" or stream = "ndjson" to the request

    error[impossible-promise]: `ttft.p99 < 1s` cannot be judged: no request that it is about is answered by a stream
      --> streams.toml:36:10
       |
    36 | gates = ["ttft.p99 < 1s", "tokens_per_second > 5", "goodput > 5/s"]
       |          ^^^^^^^^^^^^^^^
       |
       = help: say so in the request: stream = "sse" and shape = "openai-chat"

    error[impossible-promise]: `tokens_per_second > 5` cannot be judged: no request that it is about is answered by a stream
      --> streams.toml:36:27
       |
    36 | gates = ["ttft.p99 < 1s", "tokens_per_second > 5", "goodput > 5/s"]
       |                           ^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: say so in the request: stream = "sse" and shape = "openai-chat"

    error[impossible-promise]: `goodput > 5/s` cannot be judged: there are no objectives
      --> streams.toml:36:52
       |
    36 | gates = ["ttft.p99 < 1s", "tokens_per_second > 5", "goodput > 5/s"]
       |                                                    ^^^^^^^^^^^^^^^
       |
       = help: say what a good request is: slo = ["ttft < 250ms", "response < 2s"]

    14 errors in `streams.toml`
    "#);
}

#[test]
fn a_file_that_is_not_toml_is_shown_where_it_breaks() {
    insta::assert_snapshot!(faults_of("syntax.toml"), @r#"
    error[syntax]: invalid basic string, expected `"`
     --> syntax.toml:1:15
      |
    1 | name = "syntax
      |               ^

    error[syntax]: string values must be quoted, expected literal string
     --> syntax.toml:3:7
      |
    3 | url = reference
      |       ^^^^^^^^^

    error[syntax]: unclosed array table, expected `]`
     --> syntax.toml:5:9
      |
    5 | [[phase]
      |         ^

    error[syntax]: duplicate key
     --> syntax.toml:6:1
      |
    6 | name = "x"
      | ^^^^

    4 errors in `syntax.toml`
    "#);
}

#[test]
fn promises_that_no_run_could_keep_are_refused() {
    insta::assert_snapshot!(faults_of("impossible.toml"), @r#"
    error[literal-secret]: credentials do not belong into the URL
     --> impossible.toml:4:7
      |
    4 | url = "http://user:secret@127.0.0.1:8000"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: set a header: headers = { authorization = "Bearer ${BENCH_TOKEN}" }

    error[invalid-data]: row 1: field `tokens` is not JSON: EOF while parsing a list at line 1 column 5
     --> impossible.toml:9:20
      |
    9 | json = { tokens = "{{data.tokens | json}}", prompt = "{{data.prompt}}" }
      |                    ^^^^^^^^^^^^^^^^^^^^^^ not in `rows.csv`
      |
      = help: leave out `| json` to send the field as text

    error[invalid-value]: an expectation can use `{{data.FIELD}}` only: other placeholders have no value to be compared with
      --> impossible.toml:10:21
       |
    10 | expect = { json = { "/id" = "{{uuid}}" } }
       |                     ^^^^^

    error[impossible-promise]: `response.p99.9 < 100ms` can never pass: it takes at least 2995 requests, and the phase plans 100
      --> impossible.toml:16:10
       |
    16 | gates = ["response.p99.9 < 100ms", "error_rate < 1%", "gpu.utilization > 70%"]
       |          ^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: set count = 29950 or more in phase `few`

    error[impossible-promise]: `error_rate < 1%` can never pass: it takes at least 299 requests, and the phase plans 100
      --> impossible.toml:16:36
       |
    16 | gates = ["response.p99.9 < 100ms", "error_rate < 1%", "gpu.utilization > 70%"]
       |                                    ^^^^^^^^^^^^^^^^^
       |
       = help: set count = 2990 or more in phase `few`

    error[impossible-promise]: `gpu.utilization` cannot be judged: GPU telemetry is off
      --> impossible.toml:16:55
       |
    16 | gates = ["response.p99.9 < 100ms", "error_rate < 1%", "gpu.utilization > 70%"]
       |                                                       ^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: set gpu = "auto" in [telemetry], or remove the gate

    error[impossible-promise]: `response.p99 < 100ms` cannot be judged in 1 s
      --> impossible.toml:22:10
       |
    22 | gates = ["response.p99 < 100ms"]
       |          ^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: measure for at least 2 s: in less, nothing shows how requests hang together

    7 errors in `impossible.toml`
    "#);
}

#[test]
fn a_credential_in_a_url_is_refused_without_repeating_it() {
    let text = "name = \"x\"\n[target]\nurl = \"${BENCH_URL}\"\n[request.x]\npath = \"/\"\n\
                [[phase]]\nname = \"p\"\nconcurrency = 1\nduration = \"5s\"\n";
    let url = "http://user:hunter22@127.0.0.1".to_owned();
    let outside = Outside(BTreeMap::from([("BENCH_URL".to_owned(), url)]));
    let (source, plan) = compile_text(root(), "x.toml", text.to_owned(), &outside);
    let shown = draw(&source, &plan.unwrap_err(), false);
    assert!(
        shown.contains("credentials do not belong into the URL"),
        "{shown}"
    );
    assert!(!shown.contains("hunter22"), "{shown}");
}

#[test]
fn what_comes_from_outside_is_used_and_never_shown() {
    let text = r#"
name = "secrets"
[target]
url = "http://127.0.0.1:1"
headers = { authorization = "Bearer ${TOKEN}", x-api-key = "literal-key-123" }
[request.x]
path = "/x?key=${TOKEN}"
[[phase]]
name = "p"
concurrency = 1
duration = "5s"
"#;
    let outside = Outside(BTreeMap::from([(
        "TOKEN".to_owned(),
        "t0p-s3cret".to_owned(),
    )]));
    let (_, plan) = compile_text(root(), "x.toml", text.to_owned(), &outside);
    let plan = plan.unwrap();
    assert_eq!(plan.requests[0].info().path, "/x?key=${TOKEN}");
    assert!(
        !plan.scenario.text.contains("literal-key-123"),
        "{}",
        plan.scenario.text
    );
    assert!(plan.scenario.text.contains("Bearer ${TOKEN}"));
    assert!(plan.secrets.contains(&"t0p-s3cret".to_owned()));
    assert!(plan.secrets.contains(&"literal-key-123".to_owned()));
}

#[test]
fn a_literal_credential_is_a_warning() {
    let text = "name = \"x\"\n[target]\nurl = \"http://h\"\nheaders = { Authorization = \"Bearer abc\" }\n\
                [request.x]\npath = \"/\"\n[[phase]]\nname = \"p\"\nconcurrency = 1\nduration = \"5s\"\n";
    let source = SourceText::new("x.toml", text);
    let (_, found) = scenario::parse(&source, &Outside::default());
    assert!(!found.has_errors());
    let text = draw(&source, &found, false);
    assert!(
        text.contains("warning[literal-secret]: `Authorization` is written into the scenario"),
        "{text}"
    );
}

#[test]
fn a_literal_password_of_a_login_is_blanked() {
    let text = "name = \"x\"\n[target]\nurl = \"http://h\"\nheaders = { authorization = \"Bearer {{login.token}}\" }\n\
                [login]\npath = \"/t\"\ntoken = \"/t\"\njson = { user = \"me\", password = \"hunter22\" }\n\
                [request.x]\npath = \"/\"\n[[phase]]\nname = \"p\"\nconcurrency = 1\nduration = \"5s\"\n";
    let (_, plan) = compile_text(root(), "x.toml", text.to_owned(), &Outside::default());
    let plan = plan.unwrap();
    assert!(
        !plan.scenario.text.contains("hunter22"),
        "{}",
        plan.scenario.text
    );
    assert!(plan.secrets.contains(&"hunter22".to_owned()));
    // The login itself has no token to send.
    assert_eq!(plan.requests[1].changing_headers().count(), 0);
    assert_eq!(plan.requests[0].changing_headers().count(), 1);
}

#[test]
fn small_faults_have_clear_words() {
    for (line, message) in [
        ("weight = 0", "`weight` is a whole number from 1 to 1000000"),
        ("weight = \"2\"", "`weight` is a whole number"),
        ("weight = 1.5", "`weight` is a whole number"),
        ("headers = { x = 1 }", "`x` is a string"),
        ("headers = \"x\"", "`headers` is a table"),
        ("method = \"get\"", "`get` is not an HTTP method"),
        ("expect = { status = 99 }", "`status` is an HTTP status"),
        (
            "expect = { status = [200, \"x\"] }",
            "`status` is an HTTP status",
        ),
        ("expect = { body = 1 }", "`body` is a string"),
        ("data = { order = \"random\" }", "data needs `file`"),
        (
            "data = { file = \"x.jsonl\", order = \"up\" }",
            "`order` is \"sequential\" or \"random\"",
        ),
        ("json = { a = nan }", "JSON cannot hold this number"),
        (
            "json = { a = \"{{data.x}}\" }",
            "`{{data.x}}` needs a data file",
        ),
        ("body = \"{{data.x\"", "`{{` is not closed"),
        ("body = \"${A B}\"", "this `${…}` cannot be read"),
        ("body = \"${file:none}\"", "cannot read `none`"),
    ] {
        let faults = faults_with(line);
        assert!(faults.contains(message), "{line}: {faults}");
    }
    assert_eq!(faults_with("weight = 5"), "");
}

#[test]
fn phases_that_could_not_end_early_are_refused() {
    insta::assert_snapshot!(faults_of("early.toml"), @r#"
    error[conflict]: until = "decided" needs `duration`, the longest that the phase lasts
      --> early.toml:13:9
       |
    13 | until = "decided"
       |         ^^^^^^^^^
       |
       = help: looks before the end lie at fixed times of a known length

    error[impossible-promise]: `abort` needs a phase that ends after `duration`
      --> early.toml:14:10
       |
    14 | gates = ["response.p99 < 100ms abort"]
       |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: looks before the end lie at fixed times of a known length

    error[invalid-value]: `min_duration` is below 10s
      --> early.toml:21:16
       |
    21 | min_duration = "2s"
       |                ^^^^
       |
       = help: less does not show how requests hang together

    error[impossible-promise]: `throughput > 10/s` cannot be decided before the end of the phase
      --> early.toml:22:10
       |
    22 | gates = ["throughput > 10/s", "error_rate < 1% worst 10s"]
       |          ^^^^^^^^^^^^^^^^^^^
       |
       = help: with until = "decided" a phase has gates on percentiles and `error_rate` only; put the others into a phase of its own

    error[impossible-promise]: `error_rate < 1% worst 10s` cannot be decided before the end of the phase
      --> early.toml:22:31
       |
    22 | gates = ["throughput > 10/s", "error_rate < 1% worst 10s"]
       |                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: with until = "decided" a phase has gates on percentiles and `error_rate` only; put the others into a phase of its own

    error[invalid-value]: a phase does not last until "settled"
      --> early.toml:28:9
       |
    28 | until = "settled"
       |         ^^^^^^^^^
       |
       = help: write until = "decided", or leave it out

    error[conflict]: until = "decided" needs a load that does not change
      --> early.toml:28:9
       |
    28 | until = "settled"
       |         ^^^^^^^^^
       |
       = help: what is seen at a part of a ramp says nothing about the rest of it

    error[conflict]: `min_duration` is for phases that may end early
      --> early.toml:34:16
       |
    34 | min_duration = "20s"
       |                ^^^^^
       |
       = help: add until = "decided", or remove it

    8 errors in `early.toml`
    "#);
}
