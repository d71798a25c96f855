//! Every command that the documentation shows is one that this program takes.

use super::args::Cli;
use clap::CommandFactory as _;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "the documentation lies in files")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// README, everything below docs, and the image's own words.
fn documents() -> Vec<PathBuf> {
    let mut all = vec![root().join("README.md"), root().join("Dockerfile")];
    for folder in ["docs", "docs/reference"] {
        let entries = root().join(folder).read_dir().unwrap();
        let pages = entries.map(|entry| entry.unwrap().path());
        all.extend(pages.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    all.sort();
    all
}

/// The words of a command line up to its end: a comment, a pipe, a redirection, a quote that was open
/// before it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => word.extend(letters.by_ref().take_while(|&letter| letter != '"')),
            ' ' => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            '\'' | '|' | '>' | ';' | '`' | '&' => break,
            '#' if word.is_empty() => break,
            letter => word.push(letter),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// The commands in the fenced blocks of a page, each with its line number.
fn commands(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut all = Vec::new();
    let mut is_fenced = false;
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
            continue;
        }
        let mut line = line.to_owned();
        while line.ends_with('\\') {
            line.pop();
            line.push_str(lines.next().map_or("", |(_, next)| next.trim_start()));
        }
        let starts = ["- bench ", "run: bench ", "'bench ", " bench "];
        let begin = if line.trim_start().starts_with("bench ") {
            line.find("bench ")
        } else {
            let at = starts
                .into_iter()
                .find_map(|start| Some(line.find(start)? + start.len()));
            at.map(|end| end - "bench ".len())
        };
        // In prose after a hash or in a string it is only a word.
        let is_command = |at: usize| !line[..at].contains('#') && !line[..at].contains('"');
        if let Some(at) = begin.filter(|&at| is_fenced && is_command(at)) {
            all.push((number + 1, words(&line[at..])));
        }
    }
    all
}

#[test]
fn every_command_of_the_documentation_is_accepted() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for path in documents() {
        for (line, words) in commands(&read(&path)) {
            seen += 1;
            if let Err(error) = Cli::command().try_get_matches_from(&words) {
                let first = error
                    .to_string()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                faults.push(format!("{}:{line}: {words:?}: {first}", path.display()));
            }
        }
    }
    assert!(
        seen > 30,
        "only {seen} commands were found: the reader is broken"
    );
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_container_of_the_cluster_and_the_image_say_what_the_program_takes() {
    let page = read(&root().join("docs/ci.md"));
    let arguments = page
        .lines()
        .find_map(|line| line.trim().strip_prefix("args: ["));
    let arguments = arguments.unwrap().trim_end_matches(']').split(", ");
    let all = std::iter::once("bench").chain(arguments);
    Cli::command().try_get_matches_from(all).unwrap();

    let image = read(&root().join("Dockerfile"));
    let shown: String = image
        .lines()
        .skip_while(|line| !line.starts_with("#   docker run"))
        .take_while(|line| line.starts_with("#   "))
        .map(|line| line.trim_start_matches('#').trim().trim_end_matches('\\'))
        .collect();
    let (_, command) = shown.split_once("bench run").unwrap();
    let all = words(&format!("bench run{command}"));
    Cli::command().try_get_matches_from(&all).unwrap();
    // What it copies is there.
    for line in image
        .lines()
        .filter(|line| line.starts_with("COPY ") && !line.contains("--from"))
    {
        let from = line.split(' ').rev().nth(1).unwrap();
        assert!(root().join(from).exists(), "{line}");
    }
}

#[test]
fn every_file_of_the_repository_that_a_page_names_is_there() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for path in documents() {
        let text = read(&path);
        let names = text.split(|c: char| !(c.is_ascii_alphanumeric() || "./_-".contains(c)));
        for name in names.filter(|name| name.starts_with("scenarios/") || name.starts_with("docs/"))
        {
            let name = name.trim_end_matches(['.', '/']);
            seen += 1;
            if !root().join(name).exists() {
                faults.push(format!("{}: `{name}`", path.display()));
            }
        }
    }
    assert!(
        seen > 10,
        "only {seen} names were found: the reader is broken"
    );
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
