//! Templates bound to their data: what the engine renders for each request.

use super::flow::Captured;
use crate::scenario::{JsonTemplate, Part, Template};
use bytes::Bytes;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use std::fmt::Write as _;

/// What a field of a data row is turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The text itself.
    Plain,
    /// The text as part of a JSON string, without the quotes.
    InString,
    /// A whole JSON value: a JSONL field keeps its type, a CSV field is a string.
    Value,
    /// A whole JSON value, read from the text of the field.
    Parsed,
}

/// A use of a field: cells are rendered once for each use and row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldUse {
    pub(super) field: String,
    pub(super) form: Form,
    pub(super) span: std::ops::Range<usize>,
}

/// One piece of a renderer.
#[derive(Clone, Debug, PartialEq)]
enum Segment {
    Fixed(Bytes),
    /// The cell of the current row with this index.
    Cell(usize),
    Pick(Vec<Bytes>),
    Integer {
        low: i64,
        high: i64,
    },
    Number,
    Uuid,
    /// The token of the login.
    Token(Form),
    /// What an earlier step captured into this place.
    Captured(usize, Form),
}

/// A template, ready to be rendered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Renderer {
    segments: Vec<Segment>,
}

/// One row of a data file, rendered for every use of its fields.
pub(super) type Row = Box<[Bytes]>;

/// What one request is rendered with.
#[derive(Debug)]
pub struct Draw<'a> {
    /// The number of the request within the run.
    pub number: u64,
    /// Where random values come from.
    pub random: &'a mut Pcg64Mcg,
    /// What earlier steps of its flow captured.
    pub captured: &'a Captured,
    /// The token of the login; empty without one.
    pub token: &'a str,
}

impl Renderer {
    /// Whether it begins with what an earlier step captured.
    pub(super) fn begins_with_capture(&self) -> bool {
        matches!(self.segments.first(), Some(Segment::Captured(..)))
    }

    /// Whether the token of the login is part of it.
    pub(super) fn holds_token(&self) -> bool {
        let is_token = |segment: &Segment| matches!(segment, Segment::Token(_));
        self.segments.iter().any(is_token)
    }

    /// Whether every request renders the same.
    pub fn constant(&self) -> Option<&Bytes> {
        match self.segments.as_slice() {
            [Segment::Fixed(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// Appends the rendered bytes of a template that draws nothing at random.
    pub(super) fn render_fixed(&self, row: &[Bytes], out: &mut Vec<u8>) {
        let mut random = Pcg64Mcg::new(0);
        let mut draw = Draw {
            number: 0,
            random: &mut random,
            captured: &Captured::nothing(),
            token: "",
        };
        self.render(row, &mut draw, out);
    }

    /// Appends the rendered bytes.
    pub(super) fn render(&self, row: &[Bytes], draw: &mut Draw<'_>, out: &mut Vec<u8>) {
        for segment in &self.segments {
            match segment {
                Segment::Fixed(bytes) => out.extend_from_slice(bytes),
                Segment::Cell(index) => out.extend_from_slice(&row[*index]),
                Segment::Pick(choices) => {
                    let choice = draw.random.random_range(0..choices.len());
                    out.extend_from_slice(&choices[choice]);
                }
                Segment::Integer { low, high } => {
                    let value = draw.random.random_range(*low..=*high);
                    append_display(out, value);
                }
                Segment::Number => append_display(out, draw.number),
                Segment::Token(Form::Plain) => out.extend_from_slice(draw.token.as_bytes()),
                Segment::Token(_) => {
                    out.extend_from_slice(in_json_string(draw.token).as_bytes());
                }
                Segment::Captured(slot, Form::Plain) => draw.captured.append_text(*slot, out),
                Segment::Captured(slot, Form::InString) => {
                    draw.captured.append_in_string(*slot, out);
                }
                Segment::Captured(slot, Form::Value | Form::Parsed) => {
                    draw.captured.append_json(*slot, out);
                }
                Segment::Uuid => {
                    // Version 4, variant 1 (RFC 9562), from the run's own generator.
                    let bits: u128 = draw.random.random();
                    let bits =
                        bits & !(0xf000 << 64) & !(0xc000 << 48) | (0x4000 << 64) | (0x8000 << 48);
                    append_display(
                        out,
                        format_args!(
                            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                            bits >> 96,
                            bits >> 80 & 0xffff,
                            bits >> 64 & 0xffff,
                            bits >> 48 & 0xffff,
                            bits & 0xffff_ffff_ffff
                        ),
                    );
                }
            }
        }
    }
}

fn append_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    use std::io::Write as _;
    write!(out, "{value}").expect("writing to memory does not fail");
}

/// Builds renderers and collects the data fields that they use.
#[derive(Debug, Default)]
pub(super) struct Compiler {
    pub(super) uses: Vec<FieldUse>,
    /// The names of what the steps of the flow capture; the position is the place of the value.
    captures: Vec<String>,
}

impl Compiler {
    /// A compiler for a step of a flow whose steps capture these.
    pub(super) fn with_captures(captures: Vec<String>) -> Self {
        Self {
            uses: Vec::new(),
            captures,
        }
    }

    /// The scenario has been checked: what is used has been captured.
    fn captured(&self, name: &str, form: Form) -> Segment {
        let known = self.captures.iter().position(|known| known == name);
        known.map_or(Segment::Fixed(Bytes::new()), |slot| {
            Segment::Captured(slot, form)
        })
    }

    fn cell(&mut self, field: &str, form: Form, span: &std::ops::Range<usize>) -> Segment {
        let known = self
            .uses
            .iter()
            .position(|known| known.field == field && known.form == form);
        Segment::Cell(known.unwrap_or_else(|| {
            self.uses.push(FieldUse {
                field: field.to_owned(),
                form,
                span: span.clone(),
            });
            self.uses.len() - 1
        }))
    }

    /// A template outside JSON.
    pub(super) fn text(&mut self, template: &Template) -> Renderer {
        let mut segments = Vec::new();
        self.parts(template, Form::Plain, &mut segments);
        join(segments)
    }

    /// A JSON value.
    pub(super) fn json(&mut self, json: &JsonTemplate) -> Renderer {
        let mut segments = Vec::new();
        self.json_into(json, &mut segments);
        join(segments)
    }

    fn json_into(&mut self, json: &JsonTemplate, out: &mut Vec<Segment>) {
        let fixed = |text: &str| Segment::Fixed(Bytes::copy_from_slice(text.as_bytes()));
        match json {
            JsonTemplate::Bool(value) => out.push(fixed(&value.to_string())),
            JsonTemplate::Number(number) => out.push(fixed(&number.to_string())),
            JsonTemplate::Text(template) => {
                // A string that is one data field alone takes over the field's type.
                if let [Part::Data { field, json, span }] = template.parts.as_slice() {
                    let form = if *json { Form::Parsed } else { Form::Value };
                    let cell = self.cell(field, form, span);
                    out.push(cell);
                    return;
                }
                if let [Part::Capture { name, .. }] = template.parts.as_slice() {
                    out.push(self.captured(name, Form::Value));
                    return;
                }
                out.push(fixed("\""));
                self.parts(template, Form::InString, out);
                out.push(fixed("\""));
            }
            JsonTemplate::Array(items) => {
                out.push(fixed("["));
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(fixed(","));
                    }
                    self.json_into(item, out);
                }
                out.push(fixed("]"));
            }
            JsonTemplate::Object(members) => {
                out.push(fixed("{"));
                for (index, (name, value)) in members.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    let mut key = String::new();
                    write!(key, "{comma}{}:", json_string(name)).expect("memory");
                    out.push(fixed(&key));
                    self.json_into(value, out);
                }
                out.push(fixed("}"));
            }
        }
    }

    fn parts(&mut self, template: &Template, form: Form, out: &mut Vec<Segment>) {
        let bytes = |text: &str| {
            Bytes::from(match form {
                Form::InString => in_json_string(text),
                _ => text.to_owned(),
            })
        };
        for part in &template.parts {
            let segment = match part {
                Part::Literal(text) => Segment::Fixed(bytes(text)),
                Part::Data { field, span, .. } => self.cell(field, form, span),
                Part::Pick(choices) => {
                    Segment::Pick(choices.iter().map(|choice| bytes(choice)).collect())
                }
                Part::Integer { low, high } => Segment::Integer {
                    low: *low,
                    high: *high,
                },
                Part::Number => Segment::Number,
                Part::Uuid => Segment::Uuid,
                Part::Capture { name, .. } => self.captured(name, form),
                Part::Token { .. } => Segment::Token(form),
            };
            out.push(segment);
        }
    }
}

/// Joins neighbouring fixed pieces.
fn join(segments: Vec<Segment>) -> Renderer {
    let mut joined: Vec<Segment> = Vec::new();
    for segment in segments {
        match (joined.last_mut(), segment) {
            (Some(Segment::Fixed(last)), Segment::Fixed(next)) => {
                *last = Bytes::from([last.as_ref(), next.as_ref()].concat());
            }
            (_, segment) => joined.push(segment),
        }
    }
    if joined.is_empty() {
        joined.push(Segment::Fixed(Bytes::new()));
    }
    Renderer { segments: joined }
}

pub(super) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text as it stands between the quotes of a JSON string.
pub(super) fn in_json_string(text: &str) -> String {
    let quoted = json_string(text);
    quoted[1..quoted.len() - 1].to_owned()
}
