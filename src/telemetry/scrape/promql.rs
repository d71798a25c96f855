//! Instant queries to a Prometheus server, or to anything that speaks its API.

use serde_json::Value;
use std::time::Duration;

/// The path of an instant query.
///
/// A server answers with the last value of the past five minutes, so that a dead exporter looks alive
/// for as long. The answer may look back three intervals, at least 30 s: servers that know the
/// parameter heed it, older ones ignore it.
pub(super) fn path(base: &str, query: &str, interval: Duration) -> String {
    const LEAST: Duration = Duration::from_secs(30);
    let back = (3 * interval).max(LEAST).as_secs();
    let base = base.trim_end_matches('/');
    format!(
        "{base}/api/v1/query?query={}&lookback_delta={back}s",
        escape(query)
    )
}

/// Percent-encoding of all but RFC 3986's unreserved characters.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// The values of an answer, one for each series.
///
/// # Errors
/// When it is no answer, an error, or one of which the server itself says that it may be partial.
pub(super) fn read(text: &str) -> Result<Vec<f64>, String> {
    let json: Value = serde_json::from_str(text)
        .map_err(|_| "the answer is not one of Prometheus' API".to_owned())?;
    if json["status"] != "success" {
        let reason = json["error"].as_str().unwrap_or("it says no reason");
        return Err(format!("the query failed: {reason}"));
    }
    if let Some(warning) = json["warnings"][0].as_str() {
        return Err(format!("the answer may be partial: {warning}"));
    }
    let result = &json["data"]["result"];
    let value = |point: &Value| point[1].as_str().and_then(number);
    let values: Option<Vec<f64>> = match json["data"]["resultType"].as_str() {
        Some("scalar") => value(result).map(|value| vec![value]),
        Some("vector") => result.as_array().map(|series| {
            series
                .iter()
                .filter_map(|series| value(&series["value"]))
                .collect()
        }),
        Some(other) => {
            return Err(format!(
                "the query yields a {other}; a metric needs one number: an instant vector or a scalar"
            ));
        }
        None => None,
    };
    values.ok_or_else(|| "the answer is not one of Prometheus' API".to_owned())
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_recent_values_only() {
        let asked = path(
            "/prom/",
            "sum(rate(x{a=\"b c\"}[1m]))",
            Duration::from_secs(1),
        );
        assert_eq!(
            asked,
            "/prom/api/v1/query?query=sum%28rate%28x%7Ba%3D%22b%20c%22%7D%5B1m%5D%29%29\
             &lookback_delta=30s"
        );
        assert!(path("/", "x", Duration::from_secs(20)).ends_with("=60s"));
    }

    #[test]
    fn reads_vectors_and_scalars_and_trusts_nothing_else() {
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"pod":"a"},"value":[1700000000.1,"3.5"]},
            {"metric":{"pod":"b"},"value":[1700000000.1,"NaN"]}]}}"#;
        let values = read(vector).unwrap();
        assert_eq!((values.len(), values[0]), (2, 3.5));
        assert!(values[1].is_nan());
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"+Inf"]}}"#;
        assert_eq!(read(scalar), Ok(vec![f64::INFINITY]));
        let none = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        assert_eq!(read(none), Ok(Vec::new()));
        for (text, message) in [
            ("<html>", "not one of"),
            ("{}", "it says no reason"),
            (
                r#"{"status":"error","error":"parse error: x"}"#,
                "failed: parse error",
            ),
            (
                r#"{"status":"success","warnings":["a store is down"],"data":{"resultType":"vector","result":[]}}"#,
                "partial: a store",
            ),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
                "yields a matrix",
            ),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
