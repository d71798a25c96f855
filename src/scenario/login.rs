//! Reads `[login]`: how a token is had before the load, and renewed beside it.

use super::Request;
use super::decode::{Context, Located, Table};
use super::flow::{CaptureSource, read_capture};
use super::request::read_plain;
use super::target::positive;
use crate::diag::{Code, Diagnostic};
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// Words in the names of members whose values are credentials.
const CREDENTIALS: [&str; 4] = ["password", "secret", "token", "key"];

/// How a token is had and renewed.
#[derive(Clone, Debug)]
pub struct Login {
    /// The request that is answered with it.
    pub request: Request,
    /// Where it stands in the answer.
    pub token: CaptureSource,
    /// How long it is valid; `None` for as long as the run takes.
    pub validity: Option<Validity>,
    /// How long before its end it is renewed, at most half of its validity.
    pub refresh_before: Duration,
}

/// How long a token is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// For so long.
    Fixed(Duration),
    /// For as many seconds as the answer says there.
    Told(CaptureSource),
}

pub(super) fn read_login(
    cx: &mut Context<'_>,
    root: &mut Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> Option<Login> {
    const DEFAULT_BEFORE: Duration = Duration::from_mins(1);
    let mut table = root.table(cx, "login", "[login]")?;
    let name = Located {
        value: "login".to_owned(),
        span: table.span.clone(),
    };
    let mut literals = Vec::new();
    if let Some(json) = table.get("json") {
        warn_of_literals(cx, json, literal_secrets, &mut literals);
    }
    let (mut request, ending) = read_plain(cx, name, &mut table, literal_secrets);
    request.secrets.extend(literals);
    ending.refuse(cx, "a login");
    for (name, span) in request.sent_captures() {
        cx.error(
            Code::UnknownName,
            span,
            format!("`{{{{capture.{name}}}}}` has no value here: only steps of a flow capture any"),
            "",
        );
    }
    table.require(cx, "token", "for example token = \"/access_token\"");
    let mut place = |cx: &mut Context<'_>, key: &'static str| {
        let value = table.get(key)?;
        let name = Located {
            value: key.to_owned(),
            span: value.span(),
        };
        read_capture(cx, &name, value).map(|(source, _)| source)
    };
    let token = place(cx, "token");
    let told = place(cx, "expires_in").map(Validity::Told);
    let fixed = table.duration(cx, "lifetime");
    let fixed = positive(cx, fixed, "lifetime").map(Validity::Fixed);
    if told.is_some() && fixed.is_some() {
        cx.error(
            Code::Conflict,
            table.key_span("lifetime"),
            "a token is valid for `expires_in` or for `lifetime`, not both",
            "",
        );
    }
    let before = table.duration(cx, "refresh_before");
    let before = before.map_or(DEFAULT_BEFORE, |before| before.value);
    table.finish(cx);
    Some(Login {
        request,
        token: token?,
        validity: told.or(fixed),
        refresh_before: before,
    })
}

/// A password in the file is a warning, and blanked where the file is stored.
fn warn_of_literals(
    cx: &mut Context<'_>,
    value: &Spanned<DeValue<'_>>,
    literal_secrets: &mut Vec<Range<usize>>,
    literals: &mut Vec<String>,
) {
    let DeValue::Table(entries) = value.get_ref() else {
        return;
    };
    for (name, value) in entries {
        let lower = name.get_ref().to_ascii_lowercase();
        let is_credential = CREDENTIALS.iter().any(|word| lower.contains(word));
        match value.get_ref() {
            DeValue::String(text) if is_credential && !text.contains("${") => {
                literals.push(text.to_string());
                literal_secrets.push(value.span());
                cx.diagnostics.push(
                    Diagnostic::warning(
                        Code::LiteralSecret,
                        format!("`{}` is written into the scenario", name.get_ref()),
                    )
                    .at(value.span())
                    .hint("take it from the environment, \"${BENCH_PASSWORD}\", or from a file, \"${file:password}\"")
                    .hint("it is left out of records and reports"),
                );
            }
            _ => warn_of_literals(cx, value, literal_secrets, literals),
        }
    }
}
