//! `Retry-After`: when a server that turns a request away wants it to come back.

use std::time::Duration;

/// Reads the header (RFC 9110, 10.2.3): seconds, or a date. A date is counted from the answer's own
/// `Date`, which every server with a clock sends (6.6.1), so that clocks that differ do no harm; one that
/// has passed is no wait. `None` for anything else.
pub(super) fn read(value: &[u8], date: Option<&[u8]>) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are for ever.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let from = std::str::from_utf8(date?).ok()?;
    let from = httpdate::parse_http_date(from.trim()).ok()?;
    Some(at.duration_since(from).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_all_three_forms_of_dates_are_read() {
        let date = Some(&b"Sun, 06 Nov 1994 08:49:37 GMT"[..]);
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:39 GMT", Some(2)),
            ("Sun Nov  6 08:49:40 1994", Some(3)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let read = read(text.as_bytes(), date);
            assert_eq!(read, seconds.map(Duration::from_secs), "{text}");
        }
        assert_eq!(read(b"\xff", date), None);
        assert_eq!(read(b"Sun, 06 Nov 1994 08:50:07 GMT", None), None);
    }
}
