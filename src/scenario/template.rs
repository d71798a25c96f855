//! `{{…}}` in requests: values that differ from request to request.
//!
//! | placeholder | value |
//! |---|---|
//! | `{{data.FIELD}}` | the field of this request's row of the data file |
//! | `{{data.FIELD \| json}}` | the same, the text of the field being JSON |
//! | `{{pick:a,b,c}}` | one of these, at random from the run's seed |
//! | `{{int:1,100}}` | a whole number in this range, both ends included |
//! | `{{number}}` | the number of the request within the run, from 0 |
//! | `{{uuid}}` | a random UUID, from the run's seed |
//! | `{{login.token}}` | the token of `[login]` |
//! | `{{capture.NAME}}` | in a flow: what an earlier step captured under this name |

use std::ops::Range;

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Literal text and placeholders in order.
    pub parts: Vec<Part>,
    /// The template as it may be shown.
    pub shown: String,
}

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Fixed text. It may hold secrets.
    Literal(String),
    /// A field of the data file.
    Data {
        /// The column (CSV) or the member (JSONL).
        field: String,
        /// Whether the text of the field is JSON in itself.
        json: bool,
        /// Where it stands in the scenario.
        span: Range<usize>,
    },
    /// One of several texts.
    Pick(Vec<String>),
    /// A whole number from a range, both ends included.
    Integer {
        /// The smallest.
        low: i64,
        /// The largest.
        high: i64,
    },
    /// The number of the request within the run.
    Number,
    /// A random UUID.
    Uuid,
    /// The token of the login.
    Token {
        /// Where it stands in the scenario.
        span: Range<usize>,
    },
    /// What an earlier step of the flow captured.
    Capture {
        /// The name under which it was captured.
        name: String,
        /// Where it stands in the scenario.
        span: Range<usize>,
    },
}

impl Template {
    /// Whether every request gets the same text.
    pub fn is_constant(&self) -> bool {
        self.parts
            .iter()
            .all(|part| matches!(part, Part::Literal(_)))
    }

    /// The text that every request gets, if it is the same for all. It may hold secrets.
    pub fn constant(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// The placeholders that need a data file.
    pub fn data_fields(&self) -> impl Iterator<Item = (&str, &Range<usize>)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Data { field, span, .. } => Some((field.as_str(), span)),
            _ => None,
        })
    }

    /// Where the token of the login is needed, if it is.
    pub fn token(&self) -> Option<&Range<usize>> {
        self.parts.iter().find_map(|part| match part {
            Part::Token { span } => Some(span),
            _ => None,
        })
    }

    /// The placeholders that need an earlier step of a flow.
    pub fn captures(&self) -> impl Iterator<Item = (&str, &Range<usize>)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Capture { name, span } => Some((name.as_str(), span)),
            _ => None,
        })
    }
}

/// A placeholder that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TemplateError {
    pub(super) message: String,
    pub(super) hint: String,
    pub(super) span: Range<usize>,
}

/// Reads a text; spans are relative to `text`, and shifted by `offset` in the parts.
pub(super) fn parse(text: &str, shown: &str, offset: usize) -> Result<Template, TemplateError> {
    let mut parts = Vec::new();
    let mut position = 0;
    while let Some(found) = text[position..].find("{{") {
        let start = position + found;
        if start > position {
            parts.push(Part::Literal(text[position..start].to_owned()));
        }
        let Some(length) = text[start..].find("}}") else {
            return Err(TemplateError {
                message: "`{{` is not closed".to_owned(),
                hint: "close it with `}}`".to_owned(),
                span: start..text.len(),
            });
        };
        let end = start + length + 2;
        let inner = text[start + 2..end - 2].trim();
        let part =
            parse_placeholder(inner, offset + start..offset + end).map_err(|(message, hint)| {
                TemplateError {
                    message,
                    hint,
                    span: start..end,
                }
            })?;
        parts.push(part);
        position = end;
    }
    if position < text.len() || parts.is_empty() {
        parts.push(Part::Literal(text[position..].to_owned()));
    }
    Ok(Template {
        parts,
        shown: shown.to_owned(),
    })
}

const KNOWN: &str = "known are `data.FIELD`, `data.FIELD | json`, `pick:a,b`, `int:1,100`, `number`, `uuid`, `capture.NAME`, `login.token`";

fn parse_placeholder(inner: &str, span: Range<usize>) -> Result<Part, (String, String)> {
    let (head, filter) = inner
        .split_once('|')
        .map_or((inner, None), |(head, filter)| {
            (head.trim(), Some(filter.trim()))
        });
    if let Some(field) = head.strip_prefix("data.") {
        let json = match filter {
            None => false,
            Some("json") => true,
            Some(other) => {
                return Err((
                    format!("unknown filter `{other}`"),
                    "the only filter is `json`".to_owned(),
                ));
            }
        };
        if field.is_empty() {
            return Err(("the field is missing".to_owned(), KNOWN.to_owned()));
        }
        return Ok(Part::Data {
            field: field.to_owned(),
            json,
            span,
        });
    }
    if filter.is_some() {
        return Err((
            "only `data.FIELD` takes a filter".to_owned(),
            KNOWN.to_owned(),
        ));
    }
    if let Some(name) = head.strip_prefix("capture.") {
        if name.is_empty() {
            return Err(("the name is missing".to_owned(), KNOWN.to_owned()));
        }
        return Ok(Part::Capture {
            name: name.to_owned(),
            span,
        });
    }
    match head.split_once(':') {
        Some(("pick", list)) => Ok(Part::Pick(
            list.split(',').map(|item| item.trim().to_owned()).collect(),
        )),
        Some(("int", range)) => {
            let bounds = range.split_once(',').and_then(|(low, high)| {
                Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
            });
            match bounds {
                Some((low, high)) if low <= high => Ok(Part::Integer { low, high }),
                _ => Err((
                    format!("`{range}` is not a range of whole numbers"),
                    "write for example `{{int:1,100}}`".to_owned(),
                )),
            }
        }
        None if head == "login.token" => Ok(Part::Token { span }),
        None if head == "number" => Ok(Part::Number),
        None if head == "uuid" => Ok(Part::Uuid),
        _ => Err((format!("unknown placeholder `{head}`"), KNOWN.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn literal(text: &str) -> Part {
        Part::Literal(text.to_owned())
    }

    #[test]
    fn reads_every_placeholder() {
        let read = |text| parse(text, text, 100).unwrap().parts;
        assert_eq!(read("plain"), [literal("plain")]);
        assert_eq!(read(""), [literal("")]);
        assert_eq!(
            read("a {{data.x}} b"),
            [
                literal("a "),
                Part::Data {
                    field: "x".to_owned(),
                    json: false,
                    span: 102..112
                },
                literal(" b"),
            ]
        );
        assert_eq!(
            read("{{ data.x | json }}"),
            [Part::Data {
                field: "x".to_owned(),
                json: true,
                span: 100..119
            }]
        );
        assert_eq!(
            read("{{pick:high, low}}"),
            [Part::Pick(vec!["high".to_owned(), "low".to_owned()])]
        );
        assert_eq!(read("{{int:-1,3}}"), [Part::Integer { low: -1, high: 3 }]);
        assert_eq!(read("{{number}}{{uuid}}"), [Part::Number, Part::Uuid]);
        assert_eq!(
            read("/{{capture.id}}"),
            [
                literal("/"),
                Part::Capture {
                    name: "id".to_owned(),
                    span: 101..115
                }
            ]
        );
    }

    #[test]
    fn names_the_fault() {
        for (text, message) in [
            ("{{data.x", "not closed"),
            ("{{colour}}", "unknown placeholder"),
            ("{{data.}}", "field is missing"),
            ("{{capture.}}", "name is missing"),
            ("{{data.x | upper}}", "unknown filter"),
            ("{{uuid | json}}", "takes a filter"),
            ("{{int:5,1}}", "not a range"),
        ] {
            let error = parse(text, text, 0).expect_err(text);
            assert!(error.message.contains(message), "{text}: {}", error.message);
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[{}|:,a-z. é]{0,40}") {
            let _ = parse(&text, &text, 0);
        }
    }
}
