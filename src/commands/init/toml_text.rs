//! Writes strings and JSON values as TOML, in one line.

use serde_json::Value;

/// A TOML string. What a scenario would take for a placeholder is kept from being one.
pub(super) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.replace("${", "$${").replace("{{", "{ {").chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A TOML value; `None` for a null, which TOML does not have.
pub(super) fn value(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(boolean) => boolean.to_string(),
        // Integers beyond 64 bits are none in TOML.
        Value::Number(number) if number.is_u64() && number.as_i64().is_none() => {
            format!("{:?}", number.as_f64().unwrap_or_default())
        }
        Value::Number(number) => number.to_string(),
        Value::String(text) => string(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(self::value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .filter_map(|(name, member)| {
                    Some(format!("{} = {}", key(name), self::value(member)?))
                })
                .collect();
            if members.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", members.join(", "))
            }
        }
    })
}

/// A key, in quotes where it needs them.
pub(super) fn key(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if is_bare {
        name.to_owned()
    } else {
        string(name)
    }
}

/// A text as part of a comment: in one line.
pub(super) fn comment(text: &str) -> String {
    text.replace(char::is_control, " ").trim().to_owned()
}

/// A text as part of a URL.
pub(super) fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_becomes_toml_in_one_line() {
        let json = serde_json::json!({
            "a b": [1, -2.5, true, null], "c": {"d": "x\"\\\n${A}{{b}}\u{1}"}, "e": {}, "f": null, "g": u64::MAX
        });
        assert_eq!(
            value(&json).unwrap(),
            "{ \"a b\" = [1, -2.5, true], c = { d = \"x\\\"\\\\\\n$${A}{ {b}}\\u0001\" }, e = {}, g = 1.8446744073709552e19 }"
        );
    }
}
