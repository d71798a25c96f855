//! Reads TOML tables key by key and collects every fault, instead of stopping at the first one as a
//! derived deserializer would.

use super::expand::{ExpandError, Lookup, Text, expand};
use super::template::{self, Template};
use crate::diag::{Code, Diagnostic, Diagnostics, SourceText, nearest};
use crate::units::{self, Dimension};
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its bytes in the scenario.
    pub span: Range<usize>,
}

/// What decoding needs and what it finds.
pub(super) struct Context<'a> {
    pub(super) source: &'a SourceText,
    pub(super) lookup: &'a dyn Lookup,
    pub(super) diagnostics: Diagnostics,
    /// Metrics that the scenario's own telemetry names, for its gates.
    pub(super) named: Vec<(String, Dimension)>,
}

impl Context<'_> {
    pub(super) fn error(
        &mut self,
        code: Code,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let mut diagnostic = Diagnostic::error(code, message).at(span);
        let hint = hint.into();
        if !hint.is_empty() {
            diagnostic = diagnostic.hint(hint);
        }
        self.diagnostics.push(diagnostic);
    }

    /// The bytes of the scenario behind a part of a string's contents, or the whole string where the
    /// two do not run in parallel (escapes, multi-line strings, substituted text).
    pub(super) fn inside(
        &self,
        string: &Range<usize>,
        contents: &str,
        part: Range<usize>,
    ) -> Range<usize> {
        let raw = self.source.text.get(string.clone()).unwrap_or_default();
        match raw.get(1..raw.len().saturating_sub(1)) {
            Some(inner) if inner == contents => {
                string.start + 1 + part.start..string.start + 1 + part.end
            }
            _ => string.clone(),
        }
    }

    pub(super) fn wrong_type(&mut self, value: &Spanned<DeValue<'_>>, name: &str, expected: &str) {
        let found = value.get_ref().type_str();
        self.diagnostics.push(
            Diagnostic::error(Code::WrongType, format!("`{name}` is {expected}"))
                .at(value.span())
                .label(format!("this is {}", with_article(found))),
        );
    }

    /// A string with its `${…}` substituted.
    pub(super) fn text(&mut self, value: &Spanned<DeValue<'_>>, name: &str) -> Option<Text> {
        let DeValue::String(raw) = value.get_ref() else {
            self.wrong_type(value, name, "a string");
            return None;
        };
        Some(self.expand(raw, value.span()))
    }

    /// Substitutes `${…}` in the contents of the string at `span`.
    pub(super) fn expand(&mut self, raw: &str, span: Range<usize>) -> Text {
        let expansion = expand(raw, self.lookup);
        for error in expansion.errors {
            match error {
                ExpandError::Malformed { span: part } => {
                    let at = self.inside(&span, raw, part);
                    self.error(
                        Code::InvalidTemplate,
                        at,
                        "this `${…}` cannot be read",
                        "write `${NAME}`, `${NAME:-default}` or `${file:path}`; `$${` stands for `${` itself",
                    );
                }
                ExpandError::Missing { name, span: part } => {
                    let at = self.inside(&span, raw, part);
                    self.error(
                        Code::MissingVariable,
                        at,
                        format!("the environment variable `{name}` is not set"),
                        format!("set it, or give a default: `${{{name}:-…}}`"),
                    );
                }
                ExpandError::File {
                    message,
                    span: part,
                } => {
                    let at = self.inside(&span, raw, part);
                    self.error(Code::UnreadableFile, at, message, "");
                }
            }
        }
        Text {
            value: expansion.value,
            shown: expansion.shown,
            secrets: expansion.secrets,
            from_outside: expansion.from_outside,
            span,
        }
    }

    /// A substituted string, read as a template.
    pub(super) fn template(&mut self, text: &Text) -> Option<Template> {
        let offset = self.inside(&text.span, &text.value, 0..0).start;
        match template::parse(&text.value, &text.shown, offset) {
            Ok(template) => Some(template),
            Err(error) => {
                let at = self.inside(&text.span, &text.value, error.span);
                self.error(Code::InvalidTemplate, at, error.message, error.hint);
                None
            }
        }
    }

    /// A substituted string, read by one of the parsers of `units`.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Located<T>> {
        if !value.get_ref().is_str() {
            self.wrong_type(value, name, expected);
            return None;
        }
        let text = self.text(value, name)?;
        match parse(&text.value) {
            Ok(parsed) => Some(Located {
                value: parsed,
                span: text.span,
            }),
            Err(error) => {
                self.error(
                    Code::InvalidValue,
                    text.span,
                    format!("`{name}`: {error}"),
                    format!("it is {expected}"),
                );
                None
            }
        }
    }

    /// A decimal number; a string only where it comes from outside, as in `"${RATE:-100}"`.
    pub(super) fn number(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        name: &str,
        range: RangeInclusive<f64>,
    ) -> Option<Located<f64>> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let number: Option<f64> = match value.get_ref() {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .map(|integer| integer as f64),
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::String(raw) if raw.contains("${") => {
                self.text(value, name)?.value.trim().parse().ok()
            }
            _ => {
                self.wrong_type(value, name, &expected);
                return None;
            }
        };
        match number {
            Some(number) if range.contains(&number) => Some(Located {
                value: number,
                span: value.span(),
            }),
            _ => {
                self.error(
                    Code::InvalidValue,
                    value.span(),
                    format!("`{name}` is {expected}"),
                    "",
                );
                None
            }
        }
    }

    /// A whole number; a string only where it comes from outside, as in `"${USERS:-100}"`.
    pub(super) fn integer(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Option<Located<u64>> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let number = match value.get_ref() {
            DeValue::Integer(integer) => {
                i128::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            DeValue::String(raw) if raw.contains("${") => {
                self.text(value, name)?.value.trim().parse().ok()
            }
            DeValue::String(raw) if raw.parse::<i64>().is_ok() => {
                self.error(
                    Code::WrongType,
                    value.span(),
                    format!("`{name}` is {expected}"),
                    format!("write numbers without quotes: {name} = {raw}"),
                );
                return None;
            }
            _ => {
                self.wrong_type(value, name, &expected);
                return None;
            }
        };
        match number.and_then(|number| u64::try_from(number).ok()) {
            Some(number) if range.contains(&number) => Some(Located {
                value: number,
                span: value.span(),
            }),
            _ => {
                self.error(
                    Code::InvalidValue,
                    value.span(),
                    format!("`{name}` is {expected}"),
                    "",
                );
                None
            }
        }
    }
}

fn with_article(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {type_name}")
}

/// One table, read key by key. [`Table::finish`] reports the keys that nobody asked for.
pub(super) struct Table<'t> {
    entries: &'t DeTable<'t>,
    /// Where the table's header, or the inline table, stands.
    pub(super) span: Range<usize>,
    /// How the table is called in messages, for example `[target]`.
    title: String,
    known: Vec<&'static str>,
}

impl<'t> Table<'t> {
    pub(super) fn new(
        entries: &'t DeTable<'t>,
        span: Range<usize>,
        title: impl Into<String>,
    ) -> Self {
        Self {
            entries,
            span,
            title: title.into(),
            known: Vec::new(),
        }
    }

    /// The same table under another title.
    pub(super) fn titled(self, title: &str) -> Self {
        Self {
            title: title.to_owned(),
            ..self
        }
    }

    /// How the table is called in messages.
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.entries
            .iter()
            .find(|(name, _)| name.get_ref().as_ref() == key)
            .map(|(_, value)| value)
    }

    /// Whether a key is there, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries
            .keys()
            .any(|name| name.get_ref().as_ref() == key)
    }

    /// Where the name of a key stands.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        self.entries
            .keys()
            .find(|name| name.get_ref().as_ref() == key)
            .map_or(self.span.clone(), Spanned::span)
    }

    pub(super) fn text(&mut self, cx: &mut Context<'_>, key: &'static str) -> Option<Text> {
        let value = self.get(key)?;
        cx.text(value, key)
    }

    pub(super) fn required_text(
        &mut self,
        cx: &mut Context<'_>,
        key: &'static str,
        hint: &str,
    ) -> Option<Text> {
        self.require(cx, key, hint);
        self.text(cx, key)
    }

    /// Reports a key that is not there.
    pub(super) fn require(&mut self, cx: &mut Context<'_>, key: &'static str, hint: &str) {
        if !self.has(key) {
            let title = self.title.clone();
            cx.error(
                Code::MissingKey,
                self.span.clone(),
                format!("{title} needs `{key}`"),
                hint,
            );
        }
    }

    pub(super) fn duration(
        &mut self,
        cx: &mut Context<'_>,
        key: &'static str,
    ) -> Option<Located<Duration>> {
        let value = self.get(key)?;
        cx.parsed(
            value,
            key,
            "a duration such as \"100ms\" (ns, us, ms, s, m, h, d)",
            units::parse_duration,
        )
    }

    pub(super) fn ratio(
        &mut self,
        cx: &mut Context<'_>,
        key: &'static str,
    ) -> Option<Located<f64>> {
        let value = self.get(key)?;
        cx.parsed(
            value,
            key,
            "a percentage such as \"2%\"",
            units::parse_ratio,
        )
    }

    pub(super) fn bytes(
        &mut self,
        cx: &mut Context<'_>,
        key: &'static str,
    ) -> Option<Located<u64>> {
        let value = self.get(key)?;
        cx.parsed(
            value,
            key,
            "a size such as \"4KiB\" (B, KiB, MiB, GiB)",
            units::parse_bytes,
        )
    }

    pub(super) fn parsed<T, E: Display>(
        &mut self,
        cx: &mut Context<'_>,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Located<T>> {
        let value = self.get(key)?;
        cx.parsed(value, key, expected, parse)
    }

    pub(super) fn integer(
        &mut self,
        cx: &mut Context<'_>,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<Located<u64>> {
        let value = self.get(key)?;
        cx.integer(value, key, range)
    }

    pub(super) fn boolean(&mut self, cx: &mut Context<'_>, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        if let DeValue::Boolean(boolean) = value.get_ref() {
            Some(*boolean)
        } else {
            cx.wrong_type(value, key, "`true` or `false`");
            None
        }
    }

    /// An array of strings.
    pub(super) fn texts(&mut self, cx: &mut Context<'_>, key: &'static str) -> Option<Vec<Text>> {
        let value = self.get(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            cx.wrong_type(value, key, "an array of strings");
            return None;
        };
        Some(items.iter().filter_map(|item| cx.text(item, key)).collect())
    }

    /// A table below this one.
    pub(super) fn table(
        &mut self,
        cx: &mut Context<'_>,
        key: &'static str,
        title: &str,
    ) -> Option<Self> {
        let value = self.get(key)?;
        let DeValue::Table(entries) = value.get_ref() else {
            cx.wrong_type(value, key, "a table");
            return None;
        };
        Some(Self::new(entries, value.span(), title))
    }

    /// The tables of `[[key]]`, in order.
    pub(super) fn array_of_tables(&mut self, cx: &mut Context<'_>, key: &'static str) -> Vec<Self> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.known.push(key);
            cx.error(
                Code::WrongType,
                self.key_span(key),
                format!("`{key}` is a list of tables"),
                format!("write `[[{key}]]` above each of them"),
            );
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| {
                if let DeValue::Table(entries) = item.get_ref() {
                    Some(Self::new(entries, item.span(), format!("[[{key}]]")))
                } else {
                    cx.wrong_type(item, key, "a list of tables");
                    None
                }
            })
            .collect()
    }

    /// All entries in the order of the file, for tables whose keys are names that the user chose.
    pub(super) fn named_entries(&self) -> Vec<(Located<String>, &'t Spanned<DeValue<'t>>)> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|(key, value)| {
                let name = Located {
                    value: key.get_ref().to_string(),
                    span: key.span(),
                };
                (name, value)
            })
            .collect();
        entries.sort_by_key(|(name, _)| name.span.start);
        entries
    }

    /// Reports every key that was never asked for, with the nearest one that exists.
    pub(super) fn finish(self, cx: &mut Context<'_>) {
        for key in self.entries.keys() {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let mut known: Vec<&str> = self.known.clone();
            known.sort_unstable();
            known.dedup();
            let hint = nearest(name, known.iter().copied()).map_or_else(
                || format!("known keys: {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            cx.error(
                Code::UnknownKey,
                key.span(),
                format!("unknown key `{name}` in {}", self.title),
                hint,
            );
        }
    }
}
