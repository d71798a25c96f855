//! Data files: CSV and JSON Lines, read into rows.

use super::render::{FieldUse, Form, Row, in_json_string, json_string};
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;

/// The rows of a data file: each a map from field to value.
pub(super) type Rows = Vec<BTreeMap<String, Value>>;

/// Reads a data file by the ending of its name.
///
/// The error says which line is at fault.
pub(super) fn read(name: &str, text: &str) -> Result<Rows, String> {
    let ending = name
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let rows = match ending.as_str() {
        "jsonl" | "ndjson" => read_json_lines(name, text)?,
        "csv" => read_csv(name, text)?,
        _ => {
            return Err(format!(
                "`{name}` is neither .csv nor .jsonl: the ending says how to read it"
            ));
        }
    };
    if rows.is_empty() {
        return Err(format!("`{name}` has no rows"));
    }
    Ok(rows)
}

fn read_json_lines(name: &str, text: &str) -> Result<Rows, String> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            let at = index + 1;
            match serde_json::from_str(line) {
                Ok(Value::Object(members)) => Ok(members.into_iter().collect()),
                Ok(_) => Err(format!("{name}:{at}: each line must be a JSON object")),
                Err(error) => Err(format!("{name}:{at}:{}: {error}", error.column())),
            }
        })
        .collect()
}

fn read_csv(name: &str, text: &str) -> Result<Rows, String> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::Headers)
        .from_reader(text.as_bytes());
    let headers = reader
        .headers()
        .map_err(|error| format!("{name}: {error}"))?
        .clone();
    reader
        .records()
        .map(|record| {
            let record = record.map_err(|error| format!("{name}: {error}"))?;
            Ok(headers
                .iter()
                .zip(&record)
                .map(|(field, text)| (field.to_owned(), Value::from(text)))
                .collect())
        })
        .collect()
}

/// Renders every use of a field in every row. The error names the first row that lacks the field or
/// does not hold JSON, with the use at fault.
pub(super) fn render(rows: &Rows, uses: &[FieldUse]) -> Result<Vec<Row>, (usize, String)> {
    rows.iter()
        .enumerate()
        .map(|(index, row)| {
            uses.iter()
                .enumerate()
                .map(|(position, field_use)| {
                    cell(row, field_use)
                        .map_err(|message| (position, format!("row {}: {message}", index + 1)))
                })
                .collect()
        })
        .collect()
}

fn cell(row: &BTreeMap<String, Value>, field_use: &FieldUse) -> Result<Bytes, String> {
    let field = &field_use.field;
    let value = row.get(field).ok_or_else(|| {
        let known: Vec<&str> = row.keys().map(String::as_str).collect();
        format!("there is no field `{field}`; known: {}", known.join(", "))
    })?;
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Ok(Bytes::from(match field_use.form {
        Form::Plain => text,
        Form::InString => in_json_string(&text),
        Form::Value => match value {
            Value::String(text) => json_string(text),
            other => other.to_string(),
        },
        Form::Parsed => match value {
            Value::String(text) => serde_json::from_str::<Value>(text)
                .map_err(|error| format!("field `{field}` is not JSON: {error}"))?
                .to_string(),
            other => other.to_string(),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(field: &str, form: Form) -> Vec<FieldUse> {
        vec![FieldUse {
            field: field.to_owned(),
            form,
            span: 0..0,
        }]
    }

    fn first(name: &str, text: &str, field: &str, form: Form) -> Result<String, String> {
        let rows = read(name, text)?;
        let cells = render(&rows, &uses(field, form)).map_err(|(_, message)| message)?;
        Ok(String::from_utf8(cells[0][0].to_vec()).unwrap())
    }

    #[test]
    fn fields_keep_their_type_or_become_text() {
        let jsonl = "{\"x\": [1, 2.5], \"s\": \"a \\\"b\\\"\"}\n\n{\"x\": [], \"s\": \"\"}\n";
        for (field, form, expected) in [
            ("x", Form::Value, "[1,2.5]"),
            ("x", Form::Plain, "[1,2.5]"),
            ("s", Form::Value, r#""a \"b\"""#),
            ("s", Form::InString, r#"a \"b\""#),
            ("s", Form::Plain, r#"a "b""#),
        ] {
            assert_eq!(
                first("d.jsonl", jsonl, field, form).as_deref(),
                Ok(expected)
            );
        }
        let csv = "id, tokens\n7,\"[1, 2]\"\n";
        assert_eq!(
            first("d.csv", csv, "id", Form::Value).as_deref(),
            Ok("\"7\"")
        );
        assert_eq!(first("d.csv", csv, "id", Form::Parsed).as_deref(), Ok("7"));
        assert_eq!(
            first("d.CSV", csv, "tokens", Form::Parsed).as_deref(),
            Ok("[1,2]")
        );
    }

    #[test]
    fn names_the_line_at_fault() {
        for (name, text, part) in [
            ("d.jsonl", "{\"x\": 1}\n{", "d.jsonl:2:"),
            ("d.jsonl", "[1]", "must be a JSON object"),
            ("d.csv", "a,b\n1\n", "d.csv: CSV error: record 1"),
            ("d.txt", "x", "neither .csv nor .jsonl"),
            ("d.jsonl", "\n\n", "no rows"),
            (
                "d.jsonl",
                "{\"y\": 1}",
                "row 1: there is no field `x`; known: y",
            ),
            ("d.csv", "x\nhello\n", "field `x` is not JSON"),
        ] {
            let error = first(name, text, "x", Form::Parsed).expect_err(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
