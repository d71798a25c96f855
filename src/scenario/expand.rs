//! `${NAME}`, `${NAME:-default}` and `${file:path}` in scenario strings.
//!
//! What comes from outside arrives through [`Lookup`], so that reading a scenario stays pure.

use std::ops::Range;

/// Where the values behind `${…}` come from.
pub trait Lookup {
    /// The value of an environment variable, if it is set.
    fn variable(&self, name: &str) -> Option<String>;

    /// The contents of a file that holds a secret, without the line end; or why it cannot be read.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// A string of the scenario after substitution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The value to use. It may hold secrets: never print or store it.
    pub value: String,
    /// The value to show: as written, with defaults filled in and everything from outside left as
    /// `${NAME}`.
    pub shown: String,
    /// The parts of `value` that came from outside and must not appear anywhere.
    pub secrets: Vec<String>,
    /// Whether any part of it comes from outside, even if it could not be resolved.
    pub from_outside: bool,
    /// Where it stands in the scenario.
    pub span: Range<usize>,
}

/// A reference that could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExpandError {
    /// The braces do not close, or the name is empty.
    Malformed { span: Range<usize> },
    /// The variable is not set and there is no default.
    Missing { name: String, span: Range<usize> },
    /// The file cannot be read.
    File { message: String, span: Range<usize> },
}

/// The parts of an expansion, before they are placed in the scenario.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expansion {
    pub(super) value: String,
    pub(super) shown: String,
    pub(super) secrets: Vec<String>,
    pub(super) from_outside: bool,
    pub(super) errors: Vec<ExpandError>,
}

/// Substitutes every `${…}`; spans in the errors are relative to `text`. `$${` stands for `${`.
pub(super) fn expand(text: &str, lookup: &dyn Lookup) -> Expansion {
    let mut out = Expansion::default();
    let mut position = 0;
    while let Some(found) = text[position..].find("${") {
        let start = position + found;
        let before = &text[position..start];
        if let Some(before) = before.strip_suffix('$') {
            out.literal(before);
            out.literal("${");
            position = start + 2;
            continue;
        }
        out.literal(before);
        let Some(length) = text[start..].find('}') else {
            out.errors.push(ExpandError::Malformed {
                span: start..text.len(),
            });
            position = text.len();
            break;
        };
        let end = start + length + 1;
        let inner = &text[start + 2..end - 1];
        out.resolve(inner, start..end, lookup);
        position = end;
    }
    out.literal(&text[position..]);
    out
}

impl Expansion {
    fn literal(&mut self, text: &str) {
        self.value.push_str(text);
        self.shown.push_str(text);
    }

    fn outside(&mut self, name: &str, value: String) {
        self.value.push_str(&value);
        self.shown.push_str("${");
        self.shown.push_str(name);
        self.shown.push('}');
        if !value.is_empty() {
            self.secrets.push(value);
        }
    }

    fn resolve(&mut self, inner: &str, span: Range<usize>, lookup: &dyn Lookup) {
        self.from_outside = true;
        if let Some(path) = inner.strip_prefix("file:") {
            match lookup.file(path) {
                Ok(value) => self.outside(inner, value),
                Err(message) => self.errors.push(ExpandError::File { message, span }),
            }
            return;
        }
        let (name, default) = inner
            .split_once(":-")
            .map_or((inner, None), |(name, default)| (name, Some(default)));
        let is_name =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            self.errors.push(ExpandError::Malformed { span });
            return;
        }
        match (lookup.variable(name), default) {
            // As in the shell, `:-` also replaces an empty value.
            (Some(value), default) if !value.is_empty() || default.is_none() => {
                self.outside(name, value);
            }
            (_, Some(default)) => self.literal(default),
            (_, None) => self.errors.push(ExpandError::Missing {
                name: name.to_owned(),
                span,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Fixed(BTreeMap<&'static str, &'static str>);

    impl Lookup for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            self.0.get(name).map(|&value| value.to_owned())
        }

        fn file(&self, path: &str) -> Result<String, String> {
            if path == "token" {
                Ok("s3cret".to_owned())
            } else {
                Err("no such file".to_owned())
            }
        }
    }

    fn run(text: &str) -> Expansion {
        expand(text, &Fixed(BTreeMap::from([("A", "1"), ("EMPTY", "")])))
    }

    #[test]
    fn substitutes_and_remembers_what_must_stay_hidden() {
        for (text, value, shown) in [
            ("plain", "plain", "plain"),
            ("x${A}y", "x1y", "x${A}y"),
            ("${B:-d}", "d", "d"),
            ("${EMPTY:-d}", "d", "d"),
            ("${EMPTY}", "", "${EMPTY}"),
            (
                "Bearer ${file:token}",
                "Bearer s3cret",
                "Bearer ${file:token}",
            ),
            ("a$${A}", "a${A}", "a${A}"),
        ] {
            let out = run(text);
            assert_eq!(
                (out.value.as_str(), out.shown.as_str()),
                (value, shown),
                "{text}"
            );
            assert!(out.errors.is_empty(), "{text}");
        }
        assert_eq!(run("Bearer ${file:token}").secrets, ["s3cret"]);
        assert!(run("${B:-d}").secrets.is_empty());
    }

    #[test]
    fn names_each_fault_where_it_stands() {
        let out = run("a ${B} ${file:x} ${} ${C");
        assert_eq!(
            out.errors,
            [
                ExpandError::Missing {
                    name: "B".to_owned(),
                    span: 2..6
                },
                ExpandError::File {
                    message: "no such file".to_owned(),
                    span: 7..16
                },
                ExpandError::Malformed { span: 17..20 },
                ExpandError::Malformed { span: 21..24 },
            ]
        );
    }
}
