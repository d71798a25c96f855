//! Diagnostics: what is wrong with an input text, where, and what to do about it.
//!
//! Values only. `cli` draws them; nothing here prints.

use std::fmt;
use std::ops::Range;

/// A named text that diagnostics point into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// The name shown to the user, as a rule the path as it was given.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl SourceText {
    /// Pairs a name with its text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// Line and column (both from 1, the column in characters) of a byte offset.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |last| last.chars().count())
            + 1;
        (line, column)
    }
}

/// Whether a finding stops the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; the work goes on.
    Warning,
    /// The input cannot be used.
    Error,
}

/// What kind of finding it is: a stable name for scripts and for looking it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The text is not TOML.
    Syntax,
    /// A key that the format does not know.
    UnknownKey,
    /// A key that must be there is not.
    MissingKey,
    /// A value of the wrong type.
    WrongType,
    /// A value of the right type that is out of range or malformed.
    InvalidValue,
    /// Two things that exclude each other, or the same thing twice.
    Conflict,
    /// A name that refers to nothing.
    UnknownName,
    /// A gate that cannot be read.
    InvalidGate,
    /// A `{{…}}` or `${…}` that cannot be read.
    InvalidTemplate,
    /// An environment variable that is not set.
    MissingVariable,
    /// A file that cannot be read.
    UnreadableFile,
    /// A data file whose contents are malformed.
    InvalidData,
    /// A promise that no run could keep.
    ImpossiblePromise,
    /// A secret written into the scenario itself.
    LiteralSecret,
    /// Something that a later version may bring.
    Unsupported,
}

impl Code {
    /// The name as it is printed, for example `unknown-key`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::UnknownKey => "unknown-key",
            Self::MissingKey => "missing-key",
            Self::WrongType => "wrong-type",
            Self::InvalidValue => "invalid-value",
            Self::Conflict => "conflict",
            Self::UnknownName => "unknown-name",
            Self::InvalidGate => "invalid-gate",
            Self::InvalidTemplate => "invalid-template",
            Self::MissingVariable => "missing-variable",
            Self::UnreadableFile => "unreadable-file",
            Self::InvalidData => "invalid-data",
            Self::ImpossiblePromise => "impossible-promise",
            Self::LiteralSecret => "literal-secret",
            Self::Unsupported => "unsupported",
        }
    }
}

/// One finding in one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of finding it is.
    pub code: Code,
    /// Whether it stops the work.
    pub severity: Severity,
    /// What is wrong: lowercase, no full stop, names in backticks.
    pub message: String,
    /// The bytes to underline; none when the finding is about the text as a whole.
    pub span: Option<Range<usize>>,
    /// A few words printed beside the underlined text; may be empty.
    pub label: String,
    /// What to do: one line each.
    pub hints: Vec<String>,
}

impl Diagnostic {
    /// A finding that stops the work.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            span: None,
            label: String::new(),
            hints: Vec::new(),
        }
    }

    /// A finding that the user should know about.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// Underlines these bytes.
    #[must_use]
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// Prints these words beside the underlined text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds a line that says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// All findings of one pass over a text, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Notes one finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.items.push(diagnostic);
    }

    /// Takes over the findings of another pass.
    pub fn extend(&mut self, other: Self) {
        self.items.extend(other.items);
    }

    /// Whether anything was found that stops the work.
    pub fn has_errors(&self) -> bool {
        self.items
            .iter()
            .any(|item| item.severity == Severity::Error)
    }

    /// Whether nothing was found at all.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The findings in the order of the text; those about the whole text last.
    pub fn in_text_order(&self) -> Vec<&Diagnostic> {
        let mut items: Vec<&Diagnostic> = self.items.iter().collect();
        items.sort_by_key(|item| item.span.as_ref().map_or(usize::MAX, |span| span.start));
        items
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in self.in_text_order() {
            writeln!(f, "{}: {}", item.code.as_str(), item.message)?;
        }
        Ok(())
    }
}

/// The candidate that `given` was most probably meant to be, if one is near enough.
///
/// Near enough means a Damerau–Levenshtein distance of at most a third of the longer word, or
/// that one is the beginning of the other.
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = strsim::damerau_levenshtein(given, candidate);
            let longer = given.chars().count().max(candidate.chars().count());
            let prefix = given.len() >= 3
                && candidate.len() >= 3
                && (candidate.starts_with(given) || given.starts_with(candidate));
            (distance * 3 <= longer || prefix).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let source = SourceText::new("x", "a = 1\nµ = 2\n");
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(6), (2, 1));
        // `µ` takes two bytes; an offset inside it belongs to it.
        assert_eq!(source.position(7), (2, 1));
        assert_eq!(source.position(9), (2, 3));
        assert_eq!(source.position(999), (3, 1));
    }

    #[test]
    fn nearest_finds_typos_and_nothing_else() {
        let keys = ["concurrency", "duration", "warmup", "gates"];
        assert_eq!(nearest("concurency", keys), Some("concurrency"));
        assert_eq!(nearest("gate", keys), Some("gates"));
        assert_eq!(nearest("warm-up", keys), Some("warmup"));
        assert_eq!(nearest("dur", keys), Some("duration"));
        assert_eq!(nearest("colour", keys), None);
    }

    #[test]
    fn findings_come_in_the_order_of_the_text() {
        let mut all = Diagnostics::default();
        all.push(Diagnostic::error(Code::MissingKey, "whole"));
        all.push(Diagnostic::error(Code::UnknownKey, "late").at(9..10));
        all.push(Diagnostic::warning(Code::LiteralSecret, "early").at(1..2));
        let order: Vec<&str> = all
            .in_text_order()
            .iter()
            .map(|item| item.message.as_str())
            .collect();
        assert_eq!(order, ["early", "late", "whole"]);
        assert!(all.has_errors());
    }
}
