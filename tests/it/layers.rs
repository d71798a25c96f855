//! The layering of `docs/ARCHITECTURE.md`, read from the code itself: a module uses only layers below
//! it, and the pure ones touch nothing outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every module and its layer. A module may use those of lower layers, and itself.
const LAYERS: &[(&str, u8)] = &[
    ("cli", 7),
    ("commands", 6),
    ("report", 5),
    ("store", 5),
    ("engine", 4),
    ("http", 4),
    ("telemetry", 4),
    ("reference", 4),
    ("history", 4),
    ("gpu", 3),
    ("plan", 3),
    ("verdict", 3),
    ("record", 2),
    ("scenario", 2),
    ("gate", 1),
    ("schedule", 1),
    ("stats", 1),
    ("stream", 1),
    ("units", 0),
    ("diag", 0),
];

/// What siblings of layer 4 may use of each other: the small traits that the engine owns.
const PORTS: &str = "engine::ports";

/// Modules that touch no file, socket, clock, environment or thread.
const PURE: &[&str] = &[
    "units", "diag", "stats", "stream", "schedule", "gate", "scenario", "record", "plan",
    "verdict", "history", "report",
];

/// What would make a pure module impure. Threads that are joined before the result is there
/// (`std::thread::scope`) do not; those that wait or outlive the call do.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "thread::sleep",
    "thread::spawn",
    "thread::Builder",
    "std::process",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "Timestamp::now",
    "tokio::",
    "thread_rng",
    "rand::rng()",
];

fn source_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The code of each file of a module: without its tests, its comments and its strings of text.
fn modules() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    let mut modules: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for path in files {
        let relative = path.strip_prefix(&root).unwrap();
        let first = relative.components().next().unwrap();
        let module = Path::new(first.as_os_str())
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap();
        if matches!(module, "lib" | "main") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let code: String = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(|line| format!("{line}\n"))
            .collect();
        modules
            .entry(module.to_owned())
            .or_default()
            .push((relative.to_owned(), code));
    }
    modules
}

/// The modules that a piece of code names as `crate::…`, each with what follows.
fn uses(code: &str) -> Vec<String> {
    code.match_indices("crate::")
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .map(|(at, _)| {
            let rest = &code[at + "crate::".len()..];
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
                .unwrap_or(rest.len());
            rest[..end].to_owned()
        })
        .collect()
}

#[test]
fn each_module_uses_only_layers_below_it() {
    let layer: BTreeMap<&str, u8> = LAYERS.iter().copied().collect();
    let mut faults = Vec::new();
    let mut looked_at = 0;
    for (module, files) in modules() {
        let Some(&own) = layer.get(module.as_str()) else {
            panic!(
                "the module `{module}` has no layer: add it to LAYERS and to docs/ARCHITECTURE.md"
            );
        };
        for (path, code) in files {
            for used in uses(&code) {
                looked_at += 1;
                let name = used.split("::").next().unwrap();
                if name == module {
                    continue;
                }
                let Some(&other) = layer.get(name) else {
                    faults.push(format!(
                        "{}: `crate::{used}` names no module",
                        path.display()
                    ));
                    continue;
                };
                let is_port = own == 4 && used.starts_with(PORTS);
                if other >= own && !is_port {
                    faults.push(format!(
                        "{}: `{module}` (layer {own}) uses `crate::{used}` (layer {other})",
                        path.display()
                    ));
                }
            }
        }
    }
    assert!(
        looked_at > 50,
        "only {looked_at} uses were found: the reader is broken"
    );
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn pure_modules_touch_nothing_outside() {
    let mut faults = Vec::new();
    for (module, files) in modules() {
        if !PURE.contains(&module.as_str()) {
            continue;
        }
        for (path, code) in files {
            for impure in IMPURE {
                if code.contains(impure) {
                    faults.push(format!("{}: `{impure}`", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_picture_in_the_docs_is_the_same() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md");
    let text = std::fs::read_to_string(docs).unwrap();
    for (module, layer) in LAYERS {
        let has_row = text.lines().any(|line| {
            line.starts_with(&format!("| {layer} |")) && line.contains(&format!("`{module}`"))
        });
        assert!(
            has_row,
            "docs/ARCHITECTURE.md has no row `| {layer} |` with `{module}`"
        );
    }
}

#[test]
fn nothing_is_left_to_do() {
    let mut faults = Vec::new();
    for (_, files) in modules() {
        for (path, code) in files {
            for word in ["todo!(", "unimplemented!(", "dbg!(", "TODO", "FIXME"] {
                if code.contains(word) {
                    faults.push(format!("{}: {word}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
