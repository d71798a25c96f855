//! Lines of JSON (ndjson.org): one value a line, from bytes that may be cut anywhere.

use super::lines::{Ends, Line, Lines, TooLong};

/// Reads lines of JSON piece by piece. A line that lies in one piece is handed out without being
/// copied; empty lines are passed over.
#[derive(Clone, Debug)]
pub struct NdjsonParser {
    lines: Lines,
}

impl Default for NdjsonParser {
    fn default() -> Self {
        Self {
            lines: Lines::new(Ends::Feed),
        }
    }
}

impl NdjsonParser {
    /// Reads the next piece; `on_line` gets every line that it completes, in order.
    ///
    /// # Errors
    /// When a line is too long to be one.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut on_line: impl FnMut(&[u8]),
    ) -> Result<(), TooLong> {
        while let Some(line) = self.lines.next(&mut bytes)? {
            hand_out(
                match line {
                    Line::Here(line) => line,
                    Line::Carried => self.lines.carried(),
                },
                &mut on_line,
            );
        }
        Ok(())
    }

    /// The stream is over: its last line needs no line break.
    pub fn finish(&mut self, mut on_line: impl FnMut(&[u8])) {
        // Asked for nothing more, the carried line is the one that is not over.
        let _ = self.lines.next(&mut [].as_slice());
        hand_out(self.lines.carried(), &mut on_line);
        self.lines.reset();
    }

    /// A new stream begins.
    pub fn reset(&mut self) {
        self.lines.reset();
    }
}

fn hand_out(line: &[u8], on_line: &mut impl FnMut(&[u8])) {
    let line = line.trim_ascii();
    if !line.is_empty() {
        on_line(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut parser = NdjsonParser::default();
        let mut lines = Vec::new();
        let mut take = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
        for piece in pieces {
            parser.feed(piece, &mut take).unwrap();
        }
        parser.finish(&mut take);
        lines
    }

    #[test]
    fn the_last_line_needs_no_break() {
        let truth = ["{\"a\":1}", "{\"a\":2}", "3"];
        assert_eq!(read([b"{\"a\":1}\r\n\n{\"a\":2}\n  \n3".as_slice()]), truth);
        assert_eq!(read([b"{\"a\":1}\n{\"a\"".as_slice(), b":2}\n3\n"]), truth);
        assert!(read([b"\n\n".as_slice(), b""]).is_empty());
    }

    proptest! {
        #[test]
        fn wherever_it_is_cut_it_reads_the_same(
            pieces in prop::collection::vec(prop::sample::select(vec!["{\"a\":1}", "\n", "\r\n", " ", "12", "é"]), 0..20)
        ) {
            let text = pieces.concat();
            let truth: Vec<&str> = text
                .split('\n')
                .map(|line| line.trim_matches([' ', '\r']))
                .filter(|line| !line.is_empty())
                .collect();
            let bytes = text.as_bytes();
            for cut in 0..=bytes.len() {
                prop_assert_eq!(&read([&bytes[..cut], &bytes[cut..]]), &truth);
            }
            prop_assert_eq!(&read(bytes.chunks(1)), &truth);
        }
    }
}
