//! Asks for what the flags do not say. Questions go to stderr; an empty answer takes the default.

use super::super::Output;
use super::InitOptions;
use super::write::{Answers, Auth, Kind};
use std::io::{BufRead, IsTerminal as _};

/// Whether there is someone to ask.
pub(super) fn is_possible(output: Output) -> bool {
    output.is_live() && std::io::stdin().is_terminal()
}

/// Fills in what the options left open.
pub(super) fn ask(answers: &mut Answers, options: &InitOptions, output: Output) {
    Prompt {
        input: std::io::stdin().lock(),
        say: |text: &str| output.warn(text),
    }
    .fill(answers, options);
}

/// Questions, and whoever answers them.
struct Prompt<R, F> {
    input: R,
    say: F,
}

impl<R: BufRead, F: FnMut(&str)> Prompt<R, F> {
    fn fill(&mut self, answers: &mut Answers, options: &InitOptions) {
        if options.kind.is_none() {
            let names = Kind::ALL.map(Kind::name);
            let chosen = self.choice("What kind of service is it?", &names, Kind::Custom.name());
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == chosen);
            answers.kind = kind.unwrap_or(Kind::Custom);
        }
        answers.url = self.checked(
            "Where is it? (http://host:port, or `reference` for the built-in API)",
            answers.kind.default_url(),
            |url| {
                let is_url = url.starts_with("http://") || url.starts_with("https://");
                match url {
                    "reference" => Ok(()),
                    _ if is_url => Ok(()),
                    _ => Err("a URL begins with `http://` or `https://`".to_owned()),
                }
            },
        );
        if options.model.is_none() && answers.kind != Kind::Custom {
            let model = self.line("Which model?", answers.kind.default_model());
            answers.model = Some(model.0);
        }
        if options.path.is_none() && answers.kind == Kind::Custom {
            let path = self.checked("Which path?", "/v1/inference", |path| {
                if path.starts_with('/') {
                    Ok(())
                } else {
                    Err("a path begins with `/`".to_owned())
                }
            });
            answers.path = Some(path);
        }
        if options.auth.is_none() {
            let question = "How does it know its callers?";
            let chosen = self.choice(question, &["none", "bearer", "api-key"], "none");
            answers.auth = match chosen.as_str() {
                "bearer" => Auth::Bearer,
                "api-key" => Auth::ApiKey,
                _ => Auth::None,
            };
        }
    }

    fn choice(&mut self, question: &str, choices: &[&str], default: &str) -> String {
        let all = choices.join(", ");
        self.checked(&format!("{question} ({all})"), default, |answer| {
            if choices.contains(&answer) {
                Ok(())
            } else {
                Err(format!("`{answer}` is none of {all}"))
            }
        })
    }

    /// Asks until the answer will do. An end of input is the default.
    fn checked(
        &mut self,
        question: &str,
        default: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> String {
        loop {
            let (answer, is_over) = self.line(question, default);
            match check(&answer) {
                Ok(()) => return answer,
                Err(_) if is_over => return default.to_owned(),
                Err(reason) => (self.say)(&reason),
            }
        }
    }

    /// The answer, and whether there will be no other.
    fn line(&mut self, question: &str, default: &str) -> (String, bool) {
        (self.say)(&format!("{question} [{default}]"));
        let mut answer = String::new();
        let read = self.input.read_line(&mut answer);
        let answer = answer.trim();
        let answer = if answer.is_empty() { default } else { answer };
        (answer.to_owned(), !matches!(read, Ok(1..)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn answered(input: &str) -> (Answers, String) {
        let mut answers = Answers {
            kind: Kind::Custom,
            url: String::new(),
            auth: Auth::None,
            model: None,
            path: None,
        };
        let options = InitOptions {
            file: PathBuf::from("s.toml"),
            force: false,
            kind: None,
            url: None,
            auth: None,
            model: None,
            path: None,
            openapi: None,
        };
        let mut said = String::new();
        Prompt {
            input: input.as_bytes(),
            say: |text: &str| {
                said.push_str(text);
                said.push('\n');
            },
        }
        .fill(&mut answers, &options);
        (answers, said)
    }

    #[test]
    fn what_will_not_do_is_asked_again() {
        let (answers, said) =
            answered("http://gpu-1:8000\nvllm\ngpu-1:8000\nhttp://gpu-1:8000\n\nbasic\nbearer\n");
        assert_eq!((answers.kind, answers.auth), (Kind::Vllm, Auth::Bearer));
        assert_eq!(answers.url, "http://gpu-1:8000");
        assert_eq!(answers.model.as_deref(), Some(Kind::Vllm.default_model()));
        for reason in [
            "`http://gpu-1:8000` is none of openai, vllm",
            "a URL begins with `http://`",
            "`basic` is none of none, bearer, api-key",
        ] {
            assert!(said.contains(reason), "{said}");
        }
    }

    #[test]
    fn an_end_of_input_ends_the_questions() {
        let (answers, said) = answered("nonsense");
        assert_eq!((answers.kind, answers.auth), (Kind::Custom, Auth::None));
        assert_eq!(answers.path.as_deref(), Some("/v1/inference"));
        assert_eq!(answers.url, Kind::Custom.default_url());
        assert!(said.contains("Which path?"), "{said}");
    }
}
