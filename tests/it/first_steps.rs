//! The first ten minutes: `init`, `doctor`, `explain`, `schema`, completions, man page and generated docs.

use crate::support::program::Bench;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Writes a scenario with these arguments, and has it checked.
fn init_and_check(args: &[&str]) -> String {
    let bench = Bench::new();
    let said = bench.run(&[&["init", "s.toml"], args].concat()).exits(0);
    assert!(said.stderr.contains("bench run s.toml"), "{}", said.stderr);
    let checked = bench
        .command(&["check", "s.toml"])
        .envs([("BENCH_TOKEN", "t"), ("BENCH_API_KEY", "k")])
        .output()
        .unwrap();
    assert!(
        checked.status.success() && checked.stderr.is_empty(),
        "{args:?}: {}",
        String::from_utf8_lossy(&checked.stderr)
    );
    let text = std::fs::read_to_string(bench.path().join("s.toml")).unwrap();
    valid(&text, "s.toml");
    text
}

#[test]
fn every_scenario_of_init_passes_the_check() {
    for kind in ["openai", "vllm", "tgi", "kserve", "triton", "custom"] {
        for auth in ["none", "bearer", "api-key"] {
            let odd = ["--model", "meta/\"Llama\" ${HOME} {{x}}", "--path", "v1/x"];
            let args = [
                &["--kind", kind, "--auth", auth, "--url", "http://h:1/p"],
                &odd[..],
            ]
            .concat();
            init_and_check(&args);
        }
        init_and_check(&["--kind", kind]);
    }
    init_and_check(&[]);
    init_and_check(&["--url", "reference"]);
}

#[test]
fn a_scenario_from_an_openapi_document_passes_the_check() {
    let document = root().join("tests/data/openapi/inference.json");
    let text = init_and_check(&["--openapi", document.to_str().unwrap()]);
    insta::assert_snapshot!(text, @r#"
    # What is sent, how much of it, and what must hold. `bench check FILE` prints the plan without
    # sending anything; `bench explain CODE` explains what it finds; docs/reference/scenario.md has
    # every key, docs/flows.md logins and several requests as one.
    name = "Inference-v1-beta"

    [target]
    # BENCH_URL overrides this, so that one file serves every stage.
    url = "${BENCH_URL:-http://gpu-1:8000/api}"
    # Of one request. What takes longer counts as slower than every limit.
    timeout = "30s"
    # Credentials come from the environment or a file, and never reach a record or a report.
    headers = { x-api-key = "${BENCH_API_KEY}" }

    [request.get-health]
    method = "GET"
    path = "/health"
    expect = { status = 200 }

    # Infers, [oddly]
    [request.infer-it]
    method = "POST"
    path = "/models/res%20net%2F50/infer?mode=fast%20%26%20cheap"
    # Made from the document: put values here that the service accepts.
    json = { text = "say \"$${HOME}\" { {data.x}}\n", options = { "top k" = 3, deep = true }, numbers = [1.0] }
    expect = { status = [200, 202] }

    [request.infer-it-2]
    method = "GET"
    path = "/odd%20path/undescribed"

    # Left out, because they change or remove something, or are too many:
    # DELETE /models/{model}/infer

    # Phases run one after the other. What starts during the warm-up is sent, but neither measured
    # nor judged. A gate passes when its 95 % bound lies on the good side of the limit; half a
    # minute shows a p95 for certain, and a p99 takes longer.
    [[phase]]
    name = "c10"
    concurrency = 10
    warmup = "5s"
    duration = "30s"
    gates = ["response.p95 < 100ms", "error_rate < 1%"]

    [[phase]]
    name = "c100"
    concurrency = 100
    warmup = "5s"
    duration = "30s"
    gates = ["response.p95 < 100ms", "error_rate < 1%"]

    [telemetry]
    # GPUs of this host, where the service runs here; with them, add "gpu.utilization > 70%" to the gates.
    gpu = "auto"
    "#);
}

#[test]
fn init_harms_no_file_and_says_what_a_document_lacks() {
    let bench = Bench::with("mine");
    let said = bench.run(&["init", "scenario.toml"]).exits(2);
    assert!(
        said.stderr.contains("`scenario.toml` is already there"),
        "{}",
        said.stderr
    );
    bench.run(&["init", "scenario.toml", "--force"]).exits(0);
    let said = bench.run(&["init", "-"]).exits(0);
    assert!(said.stdout.contains("[target]"), "{}", said.stdout);
    for (text, wanted) in [
        ("openapi: 3.0.0", "is not JSON"),
        ("{}", "no `paths`"),
        ("{\"paths\": {}}", "no operation"),
    ] {
        bench.write("d.json", text);
        let said = bench
            .run(&["init", "new.toml", "--openapi", "d.json"])
            .exits(2);
        assert!(said.stderr.contains(wanted), "{}", said.stderr);
    }
}

#[test]
fn doctor_looks_at_everything() {
    let said = Bench::new().run(&["doctor"]);
    for what in [
        "CPUs",
        "CPU quota",
        "clock source",
        "file descriptors",
        "local ports",
        "disk for results",
        "GPU driver",
    ] {
        assert!(said.stdout.contains(what), "{what}: {}", said.stdout);
    }
}

/// The variants of an enum in a source file, in kebab-case.
fn variants(path: &str, name: &str) -> BTreeSet<String> {
    let source = read(path);
    let (_, rest) = source.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let (body, _) = rest.split_once("\n}\n").unwrap();
    body.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| {
            let name = line.trim_end_matches([',', ' ', '{']);
            let name = name.split('(').next().unwrap();
            let mut kebab = String::new();
            for c in name.chars() {
                if c.is_ascii_uppercase() && !kebab.is_empty() {
                    kebab.push('-');
                }
                kebab.push(c.to_ascii_lowercase());
            }
            kebab
        })
        .collect()
}

#[test]
fn every_code_and_doubt_is_explained() {
    let bench = Bench::new();
    let listed = bench.run(&["explain"]).exits(0).stdout;
    let listed: BTreeSet<String> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    let mut codes = variants("src/diag.rs", "Code");
    codes.extend(variants("src/record/doubt/mod.rs", "Doubt"));
    assert!(codes.len() > 20, "{codes:?}");
    let missing: Vec<&String> = codes.difference(&listed).collect();
    assert!(missing.is_empty(), "without an explanation: {missing:?}");
    // As it stands in a finding, in JSON, and mistyped.
    let said = bench.run(&["explain", "error[unknown-key]"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    bench.run(&["explain", "[unknown-key]"]).exits(0);
    let said = bench.run(&["explain", "generator_busy"]).exits(0);
    assert!(
        said.stdout.starts_with("generator-busy: "),
        "{}",
        said.stdout
    );
    let said = bench.run(&["explain", "unknwon-key"]).exits(2);
    assert!(
        said.stderr.contains("did you mean `unknown-key`"),
        "{}",
        said.stderr
    );
}

#[test]
fn completions_and_the_man_page_know_all_commands() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = bench.run(&["completions", shell]).exits(0).stdout;
        for word in ["run", "doctor", "openapi"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let text = bench.run(&["man"]).exits(0).stdout;
    assert!(
        text.contains(".TH bench 1") && text.contains("BENCH RUN"),
        "{text}"
    );
    assert!(!text.contains("BENCH DOCS"));
}

#[test]
fn generated_pages_are_fresh() {
    let bench = Bench::new();
    for page in ["scenario", "metrics", "codes"] {
        let text = bench.run(&["docs", page]).exits(0).stdout;
        let path = root().join(format!("docs/reference/{page}.md"));
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if kept != text && std::env::var_os("BENCH_WRITE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
            continue;
        }
        assert!(
            kept == text,
            "docs/reference/{page}.md is stale: `bench docs {page}` prints it, \
             BENCH_WRITE_DOCS=1 with this test writes it"
        );
    }
}

#[test]
fn exit_codes_stand_in_the_docs_as_they_are() {
    let help = Bench::new().run(&["--help"]).exits(0).stdout;
    let (_, codes) = help.split_once("Exit codes:").unwrap();
    let page = read("docs/reference/exit-codes.md");
    for line in codes.lines().filter(|line| !line.trim().is_empty()) {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        let row = format!("| {code} | {} |", meaning.trim());
        assert!(page.contains(&row), "{row} in docs/reference/exit-codes.md");
    }
}

// The JSON Schema against the parser, the shipped scenarios and those of `init`.

fn schema() -> Value {
    serde_json::from_str(&Bench::new().run(&["schema"]).exits(0).stdout).unwrap()
}

#[test]
fn the_schema_has_the_keys_of_the_parser() {
    // A table of each kind, each with a key that does not exist: the parser names those that do.
    let bench = Bench::with(&read("tests/data/bad/every-table.toml"));
    let said = bench.run(&["check", "scenario.toml"]).exits(2);
    let mut parser: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut title = None;
    for line in said.stderr.lines() {
        if let Some((_, rest)) = line.split_once("unknown key `zzzzzzzzzzzz` in ") {
            let sources = "[[telemetry.prometheus]], [[telemetry.promql]], [[telemetry.json]]";
            title = Some(
                rest.trim()
                    .replace("[request.r]", "[request.NAME]")
                    .replace("capture.id", "capture.NAME")
                    .replace("[[prometheus]]", sources),
            );
        } else if let Some((_, keys)) = line.split_once("help: known keys: ") {
            let keys = keys.split(", ").map(str::to_owned).collect();
            parser.insert(title.take().unwrap(), keys);
        }
    }
    let schema = schema();
    let mut tables = BTreeMap::new();
    for object in std::iter::once(&schema).chain(schema["$defs"].as_object().unwrap().values()) {
        if let (Some(title), Some(properties)) =
            (object["title"].as_str(), object["properties"].as_object())
        {
            tables.insert(
                title.to_owned(),
                properties.keys().cloned().collect::<BTreeSet<_>>(),
            );
        }
    }
    assert!(parser.len() >= 16, "{:?}", parser.keys());
    for (title, keys) in parser {
        let known = tables
            .get(&title)
            .unwrap_or_else(|| panic!("{title}: not in the schema"));
        let missing: Vec<&String> = keys.difference(known).collect();
        assert!(
            missing.is_empty(),
            "{title}: not in the schema: {missing:?}"
        );
        // One definition serves the three kinds of sources, and has the keys of all of them.
        if !title.starts_with("[[telemetry.") {
            let invented: Vec<&String> = known.difference(&keys).collect();
            assert!(
                invented.is_empty(),
                "{title}: only in the schema: {invented:?}"
            );
        }
    }
}

#[test]
fn shipped_scenarios_fit_the_schema() {
    let folder = root().join("scenarios");
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            valid(
                &std::fs::read_to_string(&path).unwrap(),
                &path.display().to_string(),
            );
        }
    }
}

#[test]
fn placeholders_may_stand_for_words_and_other_words_may_not() {
    let scenario = |order: &str, resolve: &str| {
        format!(
            "name = \"n\"\n[target]\nurl = \"http://h\"\nresolve = \"{resolve}\"\n\
             [request.r]\nmethod = \"{order}\"\npath = \"/\"\n\
             [[phase]]\nname = \"p\"\nconcurrency = 1\nduration = \"5s\"\n"
        )
    };
    valid(
        &scenario("${METHOD:-POST}", "${RESOLVE:-once}"),
        "placeholders",
    );
    valid(&scenario("POST", "once"), "words");
    let wrong = std::panic::catch_unwind(|| valid(&scenario("SHOUT", "once"), "wrong"));
    assert!(wrong.is_err(), "SHOUT fits the schema");
    // The parser takes what the schema takes.
    let bench = Bench::with(&scenario("${METHOD:-POST}", "${RESOLVE:-once}"));
    bench.run(&["check", "scenario.toml"]).exits(0);
}

/// Panics where a scenario does not fit the schema.
fn valid(scenario: &str, name: &str) {
    static SCHEMA: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
    let schema = SCHEMA.get_or_init(schema);
    let document = toml::de::DeTable::parse(scenario).unwrap();
    let value = Value::Object(
        document
            .get_ref()
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())))
            .collect(),
    );
    if let Err(fault) = fits(schema, schema, &value) {
        panic!("{name}: {fault}");
    }
}

fn json(value: &toml::de::DeValue<'_>) -> Value {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(integer) => integer.as_str().parse::<i64>().unwrap().into(),
        DeValue::Float(float) => float.as_str().parse::<f64>().unwrap().into(),
        DeValue::Boolean(boolean) => (*boolean).into(),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())))
                .collect(),
        ),
    }
}

/// The part of JSON Schema that ours uses.
fn fits(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(pointer) = schema["$ref"].as_str() {
        fits(root, root.pointer(&pointer[1..]).unwrap(), value)?;
    }
    if let Some(choices) = schema["anyOf"].as_array()
        && !choices
            .iter()
            .any(|choice| fits(root, choice, value).is_ok())
    {
        return Err(format!("{value} is none of {choices:?}"));
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        return Err(format!("{value} is none of {values:?}"));
    }
    if schema["pattern"] == "\\$\\{" && !value.as_str().is_some_and(|text| text.contains("${")) {
        return Err(format!("{value} has no placeholder"));
    }
    let is_right = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !is_right {
        return Err(format!("{value} is no {}", schema["type"]));
    }
    for item in value.as_array().into_iter().flatten() {
        if schema["items"].is_object() {
            fits(root, &schema["items"], item)?;
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let known = &schema["properties"][name];
        if known.is_object() {
            fits(root, known, member).map_err(|fault| format!("{name}: {fault}"))?;
        } else if schema["additionalProperties"] == false {
            return Err(format!("unknown key {name}"));
        } else if schema["additionalProperties"].is_object() {
            fits(root, &schema["additionalProperties"], member)
                .map_err(|fault| format!("{name}: {fault}"))?;
        }
    }
    Ok(())
}
