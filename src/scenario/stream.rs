//! Reads how the answer to a request is streamed: `stream`, `shape`, and what of it is expected.

use super::decode::{Context, Located, Table};
use crate::diag::{Code, nearest};
use crate::stream::{Ending, Format, Pointer, Shape, StreamForm};
use std::ops::Range;
use toml::Spanned;
use toml::de::DeValue;

const FORMATS: [(&str, Format); 2] = [("sse", Format::Sse), ("ndjson", Format::Ndjson)];
const SHAPES: [&str; 2] = ["openai-chat", "openai-completions"];
const SHAPE_FORMS: &str = "it is \"openai-chat\", \"openai-completions\" or a table of JSON pointers: \
     shape = { text = \"/token\", finish = \"/done\", tokens = \"/count\", error = \"/error\" }";

/// What `expect` says of the end of a stream.
#[derive(Default)]
pub(super) struct EndingKeys {
    /// `finish`: the reasons that are right.
    reasons: Option<Vec<String>>,
    /// `ends_with`: what must have come.
    ends_with: Option<Vec<Located<String>>>,
    /// Where the first of them stands.
    span: Option<Range<usize>>,
}

impl EndingKeys {
    /// Reports them where no answer is streamed at all.
    pub(super) fn refuse(self, cx: &mut Context<'_>, what: &str) {
        if let Some(span) = self.span {
            cx.error(
                Code::Conflict,
                span,
                format!("the answer to {what} is not streamed"),
                "`finish` and `ends_with` are about streams",
            );
        }
    }

    pub(super) fn read(cx: &mut Context<'_>, expect: &mut Table<'_>) -> Self {
        let span = ["finish", "ends_with"]
            .into_iter()
            .find(|key| expect.has(key))
            .map(|key| expect.key_span(key));
        let texts = |cx: &mut Context<'_>, value: &Spanned<DeValue<'_>>, key: &str| {
            let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
                DeValue::Array(items) => items.iter().collect(),
                _ => vec![value],
            };
            items
                .into_iter()
                .filter_map(|item| cx.text(item, key))
                .map(|text| Located {
                    value: text.value,
                    span: text.span,
                })
                .collect::<Vec<_>>()
        };
        let reasons = expect.get("finish").map(|value| {
            let reasons = texts(cx, value, "finish").into_iter();
            reasons.map(|reason| reason.value).collect()
        });
        let ends_with = expect
            .get("ends_with")
            .map(|value| texts(cx, value, "ends_with"));
        Self {
            reasons,
            ends_with,
            span,
        }
    }
}

/// How the answer is streamed; `None` if it is not.
pub(super) fn read_stream(
    cx: &mut Context<'_>,
    table: &mut Table<'_>,
    expected: EndingKeys,
) -> Option<StreamForm> {
    let format = table.text(cx, "stream");
    let shape = table.get("shape");
    let Some(format) = format else {
        let lonely = shape.map(|_| table.key_span("shape")).or(expected.span);
        if let Some(span) = lonely.filter(|_| !table.has("stream")) {
            cx.error(
                Code::MissingKey,
                span,
                "this speaks of a stream, and the request has none",
                "add stream = \"sse\" or stream = \"ndjson\" to the request",
            );
        }
        return None;
    };
    let Some(&(_, known)) = FORMATS.iter().find(|(name, _)| *name == format.value) else {
        let hint = nearest(&format.value, FORMATS.map(|(name, _)| name)).map_or_else(
            || "`stream` is \"sse\" or \"ndjson\"".to_owned(),
            |near| format!("did you mean \"{near}\"?"),
        );
        cx.error(
            Code::InvalidValue,
            format.span,
            format!("`{}` is not a format of streams", format.value),
            hint,
        );
        return None;
    };
    let shape = match shape {
        None => Shape::new(Vec::new(), None, None, None, None),
        Some(value) => read_shape(cx, value)?,
    };
    let ending = read_ending(cx, &shape, expected.ends_with);
    let reasons = expected.reasons.unwrap_or_default();
    if !reasons.is_empty() && !shape.has_finish() {
        cx.error(
            Code::Conflict,
            expected.span.unwrap_or(format.span),
            "no event of this shape says why the answer is over",
            "add finish = \"/pointer\" to the shape",
        );
    }
    Some(StreamForm {
        format: known,
        ending: Ending {
            finish: ending.finish || !reasons.is_empty(),
            ..ending
        },
        shape,
        reasons,
    })
}

fn read_shape(cx: &mut Context<'_>, value: &Spanned<DeValue<'_>>) -> Option<Shape> {
    if let DeValue::Table(entries) = value.get_ref() {
        let mut table = Table::new(entries, value.span(), "shape");
        let texts = match table.get("text") {
            None => Vec::new(),
            Some(text) => {
                let items: Vec<&Spanned<DeValue<'_>>> = match text.get_ref() {
                    DeValue::Array(items) => items.iter().collect(),
                    _ => vec![text],
                };
                items
                    .into_iter()
                    .filter_map(|item| read_pointer(cx, item, "text"))
                    .collect()
            }
        };
        let mut pointer = |cx: &mut Context<'_>, key: &'static str| {
            table
                .get(key)
                .and_then(|value| read_pointer(cx, value, key))
        };
        let finish = pointer(cx, "finish");
        let tokens = pointer(cx, "tokens");
        let error = pointer(cx, "error");
        let done = table.text(cx, "done").map(|text| text.value);
        table.finish(cx);
        return Some(Shape::new(texts, finish, tokens, error, done));
    }
    let name = cx.text(value, "shape")?;
    match name.value.as_str() {
        "openai-chat" => Some(Shape::openai_chat()),
        "openai-completions" => Some(Shape::openai_completions()),
        other => {
            let hint = nearest(other, SHAPES).map_or_else(
                || SHAPE_FORMS.to_owned(),
                |near| format!("did you mean \"{near}\"?"),
            );
            cx.error(
                Code::InvalidValue,
                name.span,
                format!("`{other}` is not a shape of streams"),
                hint,
            );
            None
        }
    }
}

fn read_pointer(cx: &mut Context<'_>, value: &Spanned<DeValue<'_>>, key: &str) -> Option<Pointer> {
    let text = cx.text(value, key)?;
    let pointer = Pointer::parse(&text.value);
    if pointer.is_none() {
        cx.error(
            Code::InvalidValue,
            text.span,
            format!("`{}` is not a JSON pointer", text.value),
            format!(
                "a pointer begins with `/`: \"/{}\"",
                text.value.replace('.', "/")
            ),
        );
    }
    pointer
}

/// What must have come; without a word of it, all that the shape knows.
fn read_ending(
    cx: &mut Context<'_>,
    shape: &Shape,
    ends_with: Option<Vec<Located<String>>>,
) -> Ending {
    let Some(ends_with) = ends_with else {
        return Ending {
            finish: shape.has_finish(),
            done: shape.has_done(),
        };
    };
    let mut ending = Ending::default();
    for end in ends_with {
        let is_known = match end.value.as_str() {
            "finish" => {
                ending.finish = true;
                shape.has_finish()
            }
            "done" => {
                ending.done = true;
                shape.has_done()
            }
            other => {
                cx.error(
                    Code::InvalidValue,
                    end.span,
                    format!("a stream does not end with `{other}`"),
                    "known are \"finish\", the reason of the end, and \"done\", its mark; \
                     [] accepts any answer that is complete as HTTP",
                );
                continue;
            }
        };
        if !is_known {
            cx.error(
                Code::Conflict,
                end.span,
                format!("the shape of the stream knows no `{}`", end.value),
                format!("add {} = … to the shape", end.value),
            );
        }
    }
    ending
}
