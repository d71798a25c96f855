//! Server-sent events as the WHATWG HTML standard describes them (9.2.6, "Interpreting an event
//! stream"), from bytes that may be cut anywhere.
//!
//! `id` and `retry` serve reconnection, which a measured request never does: they are passed over.

use super::lines::{Ends, Line, Lines, TooLong};

/// An event longer than this is not read on.
const LONGEST: usize = 4 * 1024 * 1024;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// Its `event` field; empty for the default, `message`.
    pub name: &'a [u8],
    /// Its `data` fields, joined by LF.
    pub data: &'a [u8],
}

/// Reads an event stream piece by piece.
///
/// An event whose only `data` line lies in one piece is handed out without being copied.
#[derive(Clone, Debug)]
pub struct SseParser {
    lines: Lines,
    /// Whether the first line, which may carry a byte order mark, is over.
    begun: bool,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
}

impl Default for SseParser {
    fn default() -> Self {
        Self {
            lines: Lines::new(Ends::AnyBreak),
            begun: false,
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
        }
    }
}

impl SseParser {
    /// Reads the next piece; `on_event` gets every event that it completes, in order.
    ///
    /// # Errors
    /// When a line or an event is too long to be one.
    pub fn feed<'c>(
        &mut self,
        mut bytes: &'c [u8],
        mut on_event: impl FnMut(SseEvent<'_>),
    ) -> Result<(), TooLong> {
        // The data line of the event that is being read, while it lies in these bytes.
        let mut here: Option<&'c [u8]> = None;
        while let Some(line) = self.lines.next(&mut bytes)? {
            let text = match line {
                Line::Here(text) => text,
                Line::Carried => self.lines.carried(),
            };
            let text = if std::mem::replace(&mut self.begun, true) {
                text
            } else {
                text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
            };
            if text.is_empty() {
                let data = here.take().or(self.has_data.then_some(&self.data));
                if let Some(data) = data {
                    on_event(SseEvent {
                        name: &self.name,
                        data,
                    });
                }
                self.name.clear();
                self.data.clear();
                self.has_data = false;
                continue;
            }
            let (field, value) = split(text);
            match field {
                b"data" => {
                    if let (Line::Here(line), false, None) = (line, self.has_data, here) {
                        // Again from the line itself, which lives as long as the bytes.
                        here = Some(&line[line.len() - value.len()..]);
                        continue;
                    }
                    if self.data.len() + value.len() > LONGEST {
                        return Err(TooLong);
                    }
                    if let Some(first) = here.take() {
                        self.data.extend_from_slice(first);
                        self.has_data = true;
                    }
                    if self.has_data {
                        self.data.push(b'\n');
                    }
                    self.data.extend_from_slice(value);
                    self.has_data = true;
                }
                b"event" => {
                    self.name.clear();
                    self.name.extend_from_slice(value);
                }
                _ => {}
            }
        }
        if let Some(first) = here {
            self.data.extend_from_slice(first);
            self.has_data = true;
        }
        Ok(())
    }

    /// A new stream begins.
    pub fn reset(&mut self) {
        self.lines.reset();
        self.begun = false;
        self.name.clear();
        self.data.clear();
        self.has_data = false;
    }
}

/// Field name and value of a line; a comment has an empty name.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', line) {
        None => (line, &[]),
        Some(colon) => {
            let value = &line[colon + 1..];
            (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Events = Vec<(String, String)>;

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Events {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser
                .feed(piece, |event| {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    events.push((text(event.name), text(event.data)));
                })
                .unwrap();
        }
        events
    }

    /// The standard's algorithm, step by step over the whole text.
    fn by_the_book(text: &str) -> Events {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let (mut name, mut data) = (String::new(), String::new());
        let mut events = Vec::new();
        let mut lines: Vec<&str> = text.split('\n').collect();
        // What follows the last line break is no line yet.
        lines.pop();
        for line in lines {
            if line.is_empty() {
                if !data.is_empty() {
                    data.pop();
                    events.push((name.clone(), data.clone()));
                }
                name.clear();
                data.clear();
            } else if !line.starts_with(':') {
                let (field, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "event" => value.clone_into(&mut name),
                    "data" => {
                        data.push_str(value);
                        data.push('\n');
                    }
                    _ => {}
                }
            }
        }
        events
    }

    #[test]
    fn examples_of_the_standard() {
        let one = |text: &str| read([text.as_bytes()]);
        let event = |name: &str, data: &str| (name.to_owned(), data.to_owned());
        assert_eq!(
            one("data: YHOO\ndata: +2\ndata: 10\n\n"),
            [event("", "YHOO\n+2\n10")]
        );
        assert_eq!(
            one(
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
            ),
            [
                event("", "first event"),
                event("", "second event"),
                event("", " third event")
            ]
        );
        // The first block is an event of nothing, the second of one line break; the last one is
        // discarded, for no empty line follows it.
        assert_eq!(
            one("data\n\ndata\ndata\n\ndata:"),
            [event("", ""), event("", "\n")]
        );
        assert_eq!(
            one("data:test\n\ndata: test\n\n"),
            [event("", "test"), event("", "test")]
        );
    }

    #[test]
    fn names_breaks_marks_and_comments() {
        let event = |name: &str, data: &str| (name.to_owned(), data.to_owned());
        assert_eq!(
            read([
                b"\xef\xbb\xbfevent: add\r\ndata: 1\r\n\r\nevent: lost\r\rdata: 2\r\r:\n\n"
                    .as_slice()
            ]),
            [event("add", "1"), event("", "2")]
        );
        // A byte order mark counts at the very beginning only.
        assert_eq!(
            read(["data: 1\n\n\u{feff}data: 2\n\n".as_bytes()]),
            [event("", "1")]
        );
        assert_eq!(read(["\u{feff}\u{feff}data: 2\n\n".as_bytes()]), []);
    }

    #[test]
    fn an_event_is_there_with_the_byte_that_ends_it() {
        let mut parser = SseParser::default();
        let mut count = 0;
        for (piece, expected) in [
            ("data: x\r", 0),
            ("\n", 0),
            ("\r", 1),
            ("\n", 1),
            ("data: y\n\n", 2),
        ] {
            parser.feed(piece.as_bytes(), |_| count += 1).unwrap();
            assert_eq!(count, expected, "{piece:?}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_not_kept_for_ever() {
        let mut parser = SseParser::default();
        let line = format!("data: {}\n", "x".repeat(1024 * 1024));
        let mut outcome = Ok(());
        for _ in 0..5 {
            outcome = outcome.and_then(|()| parser.feed(line.as_bytes(), |_| {}));
        }
        assert_eq!(outcome, Err(TooLong));
        parser.reset();
        let mut data = Vec::new();
        parser
            .feed(b"data: anew\n\n", |event| {
                data.extend_from_slice(event.data);
            })
            .unwrap();
        assert_eq!(data, b"anew");
    }

    fn streams() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "data",
            "event",
            "id",
            "retry",
            ":",
            ": ",
            " ",
            "\n",
            "\r",
            "\r\n",
            "\n\n",
            "x",
            "{\"a\":1}",
            "é",
            "\u{feff}",
            "data: token\n\n",
            "data: [DONE]\r\n\r\n",
            "datax: 1\n",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn wherever_it_is_cut_it_reads_the_same(text in streams(), cuts in prop::collection::vec(0usize..64, 0..6)) {
            let bytes = text.as_bytes();
            let truth = by_the_book(&text);
            prop_assert_eq!(&read([bytes]), &truth);
            for cut in 0..=bytes.len() {
                prop_assert_eq!(&read([&bytes[..cut], &bytes[cut..]]), &truth);
            }
            prop_assert_eq!(&read(bytes.chunks(1)), &truth);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            prop_assert_eq!(&read(pieces), &truth);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read([bytes.as_slice()]);
        }
    }
}
