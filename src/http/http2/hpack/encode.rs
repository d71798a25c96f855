//! Heads of requests, written.
//!
//! What is the same in every request goes into the server's table once and is a byte or two from then on;
//! what changes is written in full and leaves the table alone. Nothing ever falls out of the table: when it
//! is full, the rest is written in full as well. So a head that is constant has the same bytes each time
//! once its fields are in the table.

use super::statics::{Found, STATIC, find};
use super::{ENTRY_OVERHEAD, TABLE_SIZE};

/// Name and value.
type Field = (Box<[u8]>, Box<[u8]>);

/// Writes the heads of one connection, in their order.
#[derive(Debug)]
pub(in crate::http::http2) struct Encoder {
    /// What is in the server's table, the oldest first.
    table: Vec<Field>,
    size: usize,
    limit: usize,
    /// The server's table is to be told its new size.
    is_resized: bool,
    /// Goes up whenever a head may have other bytes than before.
    generation: u64,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            table: Vec::new(),
            size: 0,
            limit: TABLE_SIZE,
            is_resized: false,
            generation: 0,
        }
    }
}

impl Encoder {
    /// The server's table may have so many bytes from now on.
    pub(in crate::http::http2) fn allow(&mut self, bytes: usize) {
        let limit = bytes.min(TABLE_SIZE);
        if limit != self.limit {
            self.limit = limit;
            self.table.clear();
            self.size = 0;
            self.is_resized = true;
            self.generation += 1;
        }
    }

    /// Blocks that were written since this last changed have the same bytes each time.
    pub(in crate::http::http2) fn generation(&self) -> u64 {
        self.generation
    }

    /// Begins a block.
    pub(in crate::http::http2) fn begin(&mut self, block: &mut Vec<u8>) {
        block.clear();
        if self.is_resized {
            self.is_resized = false;
            self.generation += 1;
            // Emptied, then as large as it may be (RFC 7541, section 4.2).
            integer(block, 0x20, 5, 0);
            integer(block, 0x20, 5, self.limit);
        }
    }

    /// A field that the next requests have as well.
    pub(in crate::http::http2) fn constant(
        &mut self,
        name: &[u8],
        value: &[u8],
        block: &mut Vec<u8>,
    ) {
        let found = find(name, value);
        if let Found::Field(index) = found {
            return integer(block, 0x80, 7, index);
        }
        let known = self
            .table
            .iter()
            .position(|(known, of)| **known == *name && **of == *value);
        if let Some(at) = known {
            return integer(block, 0x80, 7, STATIC.len() + self.table.len() - at);
        }
        let size = name.len() + value.len() + ENTRY_OVERHEAD;
        if self.size + size > self.limit {
            return literal(&found, 0x00, 4, name, value, block);
        }
        literal(&found, 0x40, 6, name, value, block);
        self.size += size;
        self.table.push((name.into(), value.into()));
        self.generation += 1;
    }

    /// A field that is another one in each request.
    #[expect(
        clippy::unused_self,
        reason = "a block is written by one encoder, whichever fields it has"
    )]
    pub(in crate::http::http2) fn changing(&self, name: &[u8], value: &[u8], block: &mut Vec<u8>) {
        literal(&find(name, value), 0x00, 4, name, value, block);
    }
}

fn literal(found: &Found, kind: u8, prefix: u32, name: &[u8], value: &[u8], block: &mut Vec<u8>) {
    match *found {
        Found::Field(index) | Found::Name(index) => integer(block, kind, prefix, index),
        Found::Nothing => {
            block.push(kind);
            string(block, name);
        }
    }
    string(block, value);
}

fn string(block: &mut Vec<u8>, string: &[u8]) {
    integer(block, 0x00, 7, string.len());
    block.extend_from_slice(string);
}

/// An integer in the lower bits of a byte and, if need be, those after it (section 5.1).
fn integer(block: &mut Vec<u8>, kind: u8, prefix: u32, value: usize) {
    let full = (1 << prefix) - 1;
    if value < full {
        return block.push(kind | value.to_le_bytes()[0]);
    }
    block.push(kind | full.to_le_bytes()[0]);
    let mut rest = value - full;
    while rest >= 0x80 {
        block.push(0x80 | rest.to_le_bytes()[0] & 0x7f);
        rest >>= 7;
    }
    block.push(rest.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Fields};
    use super::*;

    /// Writes and reads a head of constant fields and one changing one.
    fn round(
        encoder: &mut Encoder,
        decoder: &mut Decoder,
        constant: &[(&str, &str)],
        path: &str,
    ) -> Vec<u8> {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        encoder.changing(b":path", path.as_bytes(), &mut block);
        for (name, value) in constant {
            encoder.constant(name.as_bytes(), value.as_bytes(), &mut block);
        }
        let mut fields = Fields::default();
        decoder.decode(&block, &mut fields).unwrap();
        let mut read = fields.iter();
        assert_eq!(read.next(), Some((&b":path"[..], path.as_bytes())));
        for (name, value) in constant {
            assert_eq!(read.next(), Some((name.as_bytes(), value.as_bytes())));
        }
        assert_eq!(read.next(), None);
        block
    }

    #[test]
    fn what_is_constant_is_sent_in_full_once() {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let head = [
            (":method", "POST"),
            ("user-agent", "bench/1"),
            ("x-own", "yes"),
        ];
        let first = round(&mut encoder, &mut decoder, &head, "/a");
        let generation = encoder.generation();
        let second = round(&mut encoder, &mut decoder, &head, "/a");
        assert_eq!(encoder.generation(), generation);
        // The path in full, and a byte for each field.
        assert_eq!((first.len() > 20, second.len()), (true, 4 + 3));
        assert_eq!(round(&mut encoder, &mut decoder, &head, "/a"), second);
        // Another request moves the entries on.
        round(&mut encoder, &mut decoder, &[("x-other", "1")], "/b");
        assert!(encoder.generation() > generation);
        let third = round(&mut encoder, &mut decoder, &head, "/a");
        assert_eq!((third.len(), third == second), (second.len(), false));
    }

    #[test]
    fn a_full_table_stays_as_it_is() {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let long = "v".repeat(3000);
        let head = [
            ("x-one", long.as_str()),
            ("x-two", long.as_str()),
            ("x-three", "3"),
        ];
        let first = round(&mut encoder, &mut decoder, &head, "/");
        let second = round(&mut encoder, &mut decoder, &head, "/");
        assert!(first.len() > 6000 && (3000..3100).contains(&second.len()));
        assert_eq!(round(&mut encoder, &mut decoder, &head, "/"), second);
    }

    #[test]
    fn a_server_that_wants_a_smaller_table_gets_it() {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let head = [("x-one", "1"), ("x-two", "2")];
        round(&mut encoder, &mut decoder, &head, "/");
        // Room for one of them.
        encoder.allow(40);
        let block = round(&mut encoder, &mut decoder, &head, "/");
        assert_eq!(&block[..3], [0x20, 0x3f, 40 - 31]);
        let block = round(&mut encoder, &mut decoder, &head, "/");
        assert_eq!(block.len(), 3 + 1 + 9);
        encoder.allow(0);
        let none = round(&mut encoder, &mut decoder, &head, "/");
        assert_eq!(none[..2], [0x20, 0x20]);
        assert_eq!(round(&mut encoder, &mut decoder, &head, "/"), none[2..]);
        encoder.allow(1 << 20);
        round(&mut encoder, &mut decoder, &head, "/");
        assert_eq!(round(&mut encoder, &mut decoder, &head, "/").len(), 3 + 2);
    }
}
