//! The part of the load that a gate is about: `{request=infer}`, `{flow=job}`, `{step=job/submit}`.

use super::Metric;
use crate::diag::nearest;
use std::fmt;

/// What kind of thing a gate names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// A request of its own.
    Request,
    /// A flow, from its first step to its last.
    Flow,
    /// One step of a flow, named `flow/step`.
    Step,
}

impl PartKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Request, Self::Flow, Self::Step];

    /// The word in gates and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Flow => "flow",
            Self::Step => "step",
        }
    }
}

/// The only requests that count for a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What kind of thing it names.
    pub kind: PartKind,
    /// Its name; of a step `flow/step`.
    pub name: String,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind.as_str(), self.name)
    }
}

/// A metric of all requests, or of a part of them: `response.p99{step=job/submit}`.
#[derive(Clone, Debug, PartialEq)]
pub struct PartMetric {
    /// What is looked at.
    pub metric: Metric,
    /// The only requests that count; `None` for all of them.
    pub part: Option<Part>,
}

impl fmt::Display for PartMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.metric)?;
        match &self.part {
            Some(part) => write!(f, "{{{part}}}"),
            None => Ok(()),
        }
    }
}

/// Reads what stands between the braces. The error is what is wrong and what to do about it.
pub(super) fn parse_part(text: &str, metric: &str) -> Result<Part, (String, String)> {
    let example = format!("write for example `{metric}{{request=infer}} < …`");
    let Some((word, name)) = text.split_once('=') else {
        return Err((format!("`{{{text}}}` chooses nothing"), example));
    };
    let (word, name) = (word.trim(), name.trim().trim_matches('"'));
    let Some(kind) = PartKind::ALL.into_iter().find(|kind| kind.as_str() == word) else {
        let words = PartKind::ALL.map(PartKind::as_str);
        let hint = nearest(word, words).map_or_else(
            || format!("it is one of {}", words.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        return Err((format!("nothing is chosen by `{word}`"), hint));
    };
    if name.is_empty() {
        return Err((format!("`{{{text}}}` chooses nothing"), example));
    }
    if kind == PartKind::Step && !name.contains('/') {
        return Err((
            format!("`{name}` is not a step of a flow"),
            format!("write the flow before it: `{metric}{{step=job/{name}}} < …`"),
        ));
    }
    Ok(Part {
        kind,
        name: name.to_owned(),
    })
}
