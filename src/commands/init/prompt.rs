//! Asks for what the flags do not say. Questions go to stderr; an empty answer takes the default.

use super::super::Output;
use super::InitOptions;
use super::write::{Answers, Auth, Kind};
use std::io::{BufRead as _, IsTerminal as _};

/// Whether there is someone to ask.
pub(super) fn is_possible(output: Output) -> bool {
    output.is_live() && std::io::stdin().is_terminal()
}

/// Fills in what the options left open.
pub(super) fn ask(answers: &mut Answers, options: &InitOptions, output: Output) {
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    if options.kind.is_none() {
        let question = format!("What kind of service is it? ({})", kinds.join(", "));
        let answer = line(&question, "custom", output);
        answers.kind = Kind::ALL
            .into_iter()
            .find(|kind| kind.name() == answer)
            .unwrap_or(Kind::Custom);
    }
    answers.url = line(
        "Where is it? (http://host:port, or `reference` for the built-in API)",
        answers.kind.default_url(),
        output,
    );
    if options.model.is_none() && answers.kind != Kind::Custom {
        let model = line("Which model?", answers.kind.default_model(), output);
        answers.model = Some(model);
    }
    if options.path.is_none() && answers.kind == Kind::Custom {
        answers.path = Some(line("Which path?", "/v1/inference", output));
    }
    if options.auth.is_none() {
        let answer = line(
            "How does it know its callers? (none, bearer, api-key)",
            "none",
            output,
        );
        answers.auth = match answer.as_str() {
            "bearer" => Auth::Bearer,
            "api-key" => Auth::ApiKey,
            _ => Auth::None,
        };
    }
}

fn line(question: &str, default: &str, output: Output) -> String {
    output.warn(&format!("{question} [{default}]"));
    let mut answer = String::new();
    // An end of input is an empty answer.
    let _ = std::io::stdin().lock().read_line(&mut answer);
    let answer = answer.trim();
    if answer.is_empty() { default } else { answer }.to_owned()
}
