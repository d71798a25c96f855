//! A scenario from an OpenAPI 3 document: a request for each operation that can be repeated safely.

use super::toml_text::{comment, key, percent, string, value};
use super::write::{Auth, head, phases};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Deeper than this, an example ends.
const DEEPEST: usize = 12;
/// More requests than this are left out, and named.
const MOST: usize = 30;

/// The scenario.
///
/// # Errors
/// When the document is not one of OpenAPI, or has no operation to send.
pub(super) fn scenario(
    document: &Value,
    url: Option<&str>,
    auth: Option<Auth>,
) -> Result<String, String> {
    let Some(paths) = document.get("paths").and_then(Value::as_object) else {
        return Err("this is no OpenAPI document: it has no `paths`".to_owned());
    };
    let server = document["servers"][0]["url"].as_str();
    let url = url
        .or(server.filter(|url| url.starts_with("http")))
        .unwrap_or("http://127.0.0.1:8000");
    let title = document["info"]["title"].as_str().unwrap_or("openapi");
    let mut text = head(
        &name_of(title, "openapi"),
        url.trim_end_matches('/'),
        auth.unwrap_or_else(|| auth_of(document)),
    );
    let mut names = BTreeSet::new();
    let mut left_out = Vec::new();
    for (path, item) in paths {
        for method in ["get", "post", "put", "patch", "delete"] {
            let Some(operation) = item.get(method) else {
                continue;
            };
            let line = format!("{} {}", method.to_uppercase(), comment(path));
            // What changes or removes something is not sent a thousand times unasked.
            if !matches!(method, "get" | "post") || names.len() == MOST {
                left_out.push(line);
                continue;
            }
            let wanted = operation["operationId"]
                .as_str()
                .map_or_else(|| format!("{method}-{path}"), str::to_owned);
            let mut name = name_of(&wanted, method);
            while !names.insert(name.clone()) {
                name = format!(
                    "{}-{}",
                    name.chars().take(58).collect::<String>(),
                    names.len()
                );
            }
            text.push_str(&request(document, item, operation, (method, path, &name)));
        }
    }
    if names.is_empty() {
        return Err("it has no operation with GET or POST".to_owned());
    }
    if !left_out.is_empty() {
        text.push_str(&format!(
            "# Left out, because they change or remove something, or are too many:\n# {}\n\n",
            left_out.join("\n# ")
        ));
    }
    text.push_str(&phases(false));
    Ok(text)
}

fn request(
    document: &Value,
    item: &Value,
    operation: &Value,
    (method, path, name): (&str, &str, &str),
) -> String {
    let mut text = String::new();
    if let Some(summary) = operation["summary"].as_str() {
        text.push_str(&format!("# {}\n", comment(summary)));
    }
    let parameters = [item, operation]
        .into_iter()
        .flat_map(|holder| holder["parameters"].as_array().into_iter().flatten())
        .map(|parameter| resolve(document, parameter));
    let mut filled = path.to_owned();
    let mut query = Vec::new();
    for parameter in parameters {
        let Some(parameter_name) = parameter["name"].as_str() else {
            continue;
        };
        let example = match &parameter["example"] {
            Value::Null => example(document, &parameter["schema"], &[]),
            given => given.clone(),
        };
        let words = match example {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let words = percent(&words);
        match parameter["in"].as_str() {
            Some("path") => filled = filled.replace(&format!("{{{parameter_name}}}"), &words),
            Some("query") if parameter["required"] == true => {
                query.push(format!("{}={words}", percent(parameter_name)));
            }
            _ => {}
        }
    }
    // A parameter that is not described still needs a value.
    let mut filled = filled.replace(['{', '}'], "");
    if !filled.starts_with('/') {
        filled.insert(0, '/');
    }
    let filled: String = filled
        .split('/')
        .map(|part| {
            if part.bytes().all(|b| (b'!'..=b'~').contains(&b)) {
                part.to_owned()
            } else {
                percent(part)
            }
        })
        .collect::<Vec<_>>()
        .join("/");
    let target = if query.is_empty() {
        filled
    } else {
        format!("{filled}?{}", query.join("&"))
    };
    text.push_str(&format!(
        "[request.{}]\nmethod = \"{}\"\npath = {}\n",
        key(name),
        method.to_uppercase(),
        string(&target)
    ));
    let body = resolve(document, &operation["requestBody"]);
    let content = &body["content"]["application/json"];
    if method == "post" && content.is_object() {
        let example = match (
            &content["example"],
            content["examples"]
                .as_object()
                .and_then(|all| all.values().next()),
        ) {
            (Value::Null, Some(first)) => resolve(document, first)["value"].clone(),
            (Value::Null, None) => example(document, &content["schema"], &[]),
            (given, _) => given.clone(),
        };
        let example = value(&example).unwrap_or_else(|| "{}".to_owned());
        text.push_str(&format!("# Made from the document: put values here that the service accepts.\njson = {example}\n"));
    }
    if let Some(statuses) = statuses(operation) {
        text.push_str(&format!("expect = {{ status = {statuses} }}\n"));
    }
    text.push('\n');
    text
}

/// The documented statuses of success.
fn statuses(operation: &Value) -> Option<String> {
    let all: Vec<&str> = operation["responses"]
        .as_object()?
        .keys()
        .map(String::as_str)
        .filter(|status| {
            status.len() == 3 && status.starts_with('2') && status.parse::<u16>().is_ok()
        })
        .collect();
    match all.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        several => Some(format!("[{}]", several.join(", "))),
    }
}

fn auth_of(document: &Value) -> Auth {
    let schemes = document["components"]["securitySchemes"].as_object();
    let is = |wanted: &[&str]| {
        schemes.is_some_and(|schemes| {
            schemes.values().any(|scheme| {
                scheme["type"]
                    .as_str()
                    .is_some_and(|kind| wanted.contains(&kind))
            })
        })
    };
    if is(&["http", "oauth2", "openIdConnect"]) {
        Auth::Bearer
    } else if is(&["apiKey"]) {
        Auth::ApiKey
    } else {
        Auth::None
    }
}

/// Follows `$ref` within the document.
fn resolve<'a>(document: &'a Value, mut value: &'a Value) -> &'a Value {
    for _ in 0..DEEPEST {
        match value["$ref"].as_str().and_then(|to| to.strip_prefix('#')) {
            Some(pointer) => value = document.pointer(pointer).unwrap_or(&Value::Null),
            None => break,
        }
    }
    value
}

/// A value that fits a schema, as far as schemas tell.
///
/// `above` are the schemas that contain it: one that contains itself ends there.
fn example(document: &Value, schema: &Value, above: &[&str]) -> Value {
    let own = schema["$ref"].as_str().unwrap_or_default();
    if above.len() > DEEPEST || (!own.is_empty() && above.contains(&own)) {
        return Value::Null;
    }
    let within = [above, &[own]].concat();
    let schema = resolve(document, schema);
    for known in ["example", "default", "const"] {
        if !schema[known].is_null() {
            return schema[known].clone();
        }
    }
    for list in ["examples", "enum"] {
        if let Some(first) = schema[list].get(0) {
            return first.clone();
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut all = Map::new();
        for part in parts {
            if let Value::Object(members) = example(document, part, &within) {
                all.extend(members);
            }
        }
        return Value::Object(all);
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(first) = schema[choice].get(0) {
            return example(document, first, &within);
        }
    }
    // Since 3.1, a type may be a list.
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"].get(0).and_then(Value::as_str));
    match kind {
        Some("boolean") => json!(true),
        Some("integer") => schema
            .get("minimum")
            .filter(|least| least.is_i64())
            .cloned()
            .unwrap_or(json!(1)),
        Some("number") => json!(1.0),
        Some("string") => json!(match schema["format"].as_str() {
            Some("uuid") => "00000000-0000-4000-8000-000000000000",
            Some("date-time") => "2026-01-01T00:00:00Z",
            Some("date") => "2026-01-01",
            _ => "text",
        }),
        Some("array") => json!([example(document, &schema["items"], &within)]),
        Some("object") | None if schema["properties"].is_object() => {
            object(document, schema, &within)
        }
        _ => json!({}),
    }
}

/// The required members, or all where none is required.
fn object(document: &Value, schema: &Value, within: &[&str]) -> Value {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let members = schema["properties"].as_object().into_iter().flatten();
    members
        .filter(|(name, _)| required.is_empty() || required.contains(&name.as_str()))
        .map(|(name, member)| (name.clone(), example(document, member, within)))
        .filter(|(_, member)| !member.is_null())
        .collect::<Map<String, Value>>()
        .into()
}

/// A name for a scenario or a request.
fn name_of(text: &str, fallback: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .collect();
    let name: String = words.join("-").chars().take(60).collect();
    if name.is_empty() {
        fallback.to_owned()
    } else {
        name
    }
}
