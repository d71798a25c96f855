//! Draws diagnostics: the line at fault, underlined, and what to do about it.

use crate::diag::{Diagnostic, Diagnostics, Severity, SourceText};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// All findings as text for a terminal, in the order of the source, with a count at the end.
pub fn draw(source: &SourceText, found: &Diagnostics, color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let items = found.in_text_order();
    let mut out = String::new();
    for item in &items {
        out.push_str(&renderer.render(&[group(source, item)]));
        out.push_str("\n\n");
    }
    out.push_str(&summary(source, &items));
    out
}

fn group<'a>(source: &'a SourceText, item: &'a Diagnostic) -> Group<'a> {
    let level = match item.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level
        .primary_title(item.message.as_str())
        .id(item.code.as_str())
        .element(snippet(source, item));
    for hint in &item.hints {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    group
}

fn snippet<'a>(
    source: &'a SourceText,
    item: &'a Diagnostic,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let span = item
        .span
        .clone()
        .unwrap_or(0..0)
        .start
        .min(source.text.len())
        ..item.span.clone().unwrap_or(0..0).end.min(source.text.len());
    let mut annotation = AnnotationKind::Primary.span(span);
    if !item.label.is_empty() {
        annotation = annotation.label(item.label.as_str());
    }
    Snippet::source(source.text.as_str())
        .path(source.name.as_str())
        .annotation(annotation)
}

fn summary(source: &SourceText, items: &[&Diagnostic]) -> String {
    let count = |severity| {
        items
            .iter()
            .filter(|item| item.severity == severity)
            .count()
    };
    let words = |count: usize, word: &str| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {word}{plural}")
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let mut parts = Vec::new();
    if errors > 0 {
        parts.push(words(errors, "error"));
    }
    if warnings > 0 {
        parts.push(words(warnings, "warning"));
    }
    format!("{} in `{}`\n", parts.join(" and "), source.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;

    #[test]
    fn shows_place_line_and_remedy() {
        let source = SourceText::new("s.toml", "name = \"x\"\n\n[phse]\n");
        let mut found = Diagnostics::default();
        found.push(
            Diagnostic::error(Code::UnknownKey, "unknown key `phse` in the scenario")
                .at(12..18)
                .hint("did you mean `phase`?"),
        );
        insta::assert_snapshot!(draw(&source, &found, false), @"
        error[unknown-key]: unknown key `phse` in the scenario
         --> s.toml:3:1
          |
        3 | [phse]
          | ^^^^^^
          |
          = help: did you mean `phase`?

        1 error in `s.toml`
        ");
    }
}
