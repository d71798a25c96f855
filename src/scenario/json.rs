//! JSON values written in TOML, with templates in their strings.

use super::decode::Context;
use super::template::Template;
use crate::diag::Code;
use toml::Spanned;
use toml::de::DeValue;

/// A JSON value whose strings may hold placeholders.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonTemplate {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A string. A string that is one `{{data.FIELD}}` or `{{capture.NAME}}` alone takes over the type
    /// of the field or of what was captured.
    Text(Template),
    /// An array.
    Array(Vec<Self>),
    /// An object, its members in the order of the file.
    Object(Vec<(String, Self)>),
}

impl JsonTemplate {
    /// Visits every string.
    pub fn templates(&self, visit: &mut dyn FnMut(&Template)) {
        match self {
            Self::Text(template) => visit(template),
            Self::Array(items) => items.iter().for_each(|item| item.templates(visit)),
            Self::Object(members) => members.iter().for_each(|(_, value)| value.templates(visit)),
            Self::Bool(_) | Self::Number(_) => {}
        }
    }
}

/// Reads a TOML value as JSON; the strings that came from outside are added to `secrets`. What has a
/// fault is reported and stands as `false`, so that the rest is read as well.
pub(super) fn read(
    cx: &mut Context<'_>,
    value: &Spanned<DeValue<'_>>,
    secrets: &mut Vec<String>,
) -> JsonTemplate {
    const FAULTY: JsonTemplate = JsonTemplate::Bool(false);
    let number = |cx: &mut Context<'_>, number: Option<serde_json::Number>| {
        if let Some(number) = number {
            JsonTemplate::Number(number)
        } else {
            cx.error(
                Code::InvalidValue,
                value.span(),
                "JSON cannot hold this number",
                "",
            );
            FAULTY
        }
    };
    match value.get_ref() {
        DeValue::Boolean(boolean) => JsonTemplate::Bool(*boolean),
        DeValue::Integer(integer) => {
            let parsed = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
            number(cx, parsed.map(Into::into))
        }
        DeValue::Float(float) => {
            let parsed: Option<f64> = float.as_str().replace('_', "").parse().ok();
            number(cx, parsed.and_then(serde_json::Number::from_f64))
        }
        DeValue::String(raw) => {
            let text = cx.expand(raw, value.span());
            secrets.extend(text.secrets.iter().cloned());
            cx.template(&text).map_or(FAULTY, JsonTemplate::Text)
        }
        DeValue::Array(items) => {
            JsonTemplate::Array(items.iter().map(|item| read(cx, item, secrets)).collect())
        }
        DeValue::Table(entries) => {
            let mut members: Vec<_> = entries.iter().collect();
            members.sort_by_key(|(key, _)| key.span().start);
            let members = members
                .into_iter()
                .map(|(key, item)| (key.get_ref().to_string(), read(cx, item, secrets)));
            JsonTemplate::Object(members.collect())
        }
        DeValue::Datetime(_) => {
            cx.error(
                Code::WrongType,
                value.span(),
                "JSON has no dates",
                "put the date in quotes",
            );
            FAULTY
        }
    }
}
