//! Heads of answers, read.

use super::fields::Fields;
use super::statics::STATIC;
use super::{Corrupt, ENTRY_OVERHEAD, TABLE_SIZE, huffman};
use std::collections::VecDeque;

/// The largest head that is read, in bytes.
const LARGEST_HEAD: usize = 1024 * 1024;

const CUT_OFF: Corrupt = Corrupt("it ends within a field");

/// Reads the heads of one connection, in their order.
#[derive(Debug)]
pub(in crate::http::http2) struct Decoder {
    /// The newest entry first.
    table: VecDeque<Entry>,
    size: usize,
    /// What the server has said that it uses of [`TABLE_SIZE`].
    limit: usize,
}

#[derive(Debug)]
struct Entry {
    /// Name and value.
    bytes: Box<[u8]>,
    name_end: usize,
}

impl Entry {
    fn size(&self) -> usize {
        self.bytes.len() + ENTRY_OVERHEAD
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            table: VecDeque::new(),
            size: 0,
            limit: TABLE_SIZE,
        }
    }
}

impl Decoder {
    /// Reads a whole block.
    pub(in crate::http::http2) fn decode(
        &mut self,
        block: &[u8],
        out: &mut Fields,
    ) -> Result<(), Corrupt> {
        out.clear();
        let mut block = block;
        while let Some(&kind) = block.first() {
            if kind & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                out.push(|bytes| {
                    let (name, value) = self.entry(index)?;
                    bytes.extend_from_slice(name);
                    bytes.extend_from_slice(value);
                    Ok(name.len())
                })?;
            } else if kind & 0x40 != 0 {
                let (name, value) = self.literal(&mut block, 6, out)?;
                let entry = Entry {
                    bytes: [name, value].concat().into(),
                    name_end: name.len(),
                };
                self.insert(entry);
            } else if kind & 0x20 != 0 {
                let limit = integer(&mut block, 5)?;
                if limit > TABLE_SIZE || out.size() > 0 {
                    return Err(Corrupt(
                        "the size of its table is changed against the rules",
                    ));
                }
                self.limit = limit;
                self.evict(0);
            } else {
                self.literal(&mut block, 4, out)?;
            }
            if out.size() > LARGEST_HEAD {
                return Err(Corrupt("it is larger than 1 MiB"));
            }
        }
        Ok(())
    }

    fn literal<'a>(
        &self,
        block: &mut &[u8],
        prefix: u32,
        out: &'a mut Fields,
    ) -> Result<(&'a [u8], &'a [u8]), Corrupt> {
        let index = integer(block, prefix)?;
        out.push(|bytes| {
            let begin = bytes.len();
            match index {
                0 => string(block, bytes)?,
                _ => bytes.extend_from_slice(self.entry(index)?.0),
            }
            let name = bytes.len() - begin;
            string(block, bytes)?;
            Ok(name)
        })
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), Corrupt> {
        if let Some((name, value)) = index.checked_sub(1).and_then(|at| STATIC.get(at)) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let entry = index
            .checked_sub(STATIC.len() + 1)
            .and_then(|at| self.table.get(at))
            .ok_or(Corrupt("it names an entry that no table has"))?;
        Ok(entry.bytes.split_at(entry.name_end))
    }

    fn insert(&mut self, entry: Entry) {
        self.evict(entry.size());
        if entry.size() <= self.limit {
            self.size += entry.size();
            self.table.push_front(entry);
        }
    }

    /// Makes room.
    fn evict(&mut self, room: usize) {
        while self.size + room > self.limit {
            let Some(oldest) = self.table.pop_back() else {
                return;
            };
            self.size -= oldest.size();
        }
    }
}

/// An integer that begins with the lower bits of the next byte (section 5.1).
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, Corrupt> {
    let full = (1 << prefix) - 1;
    let mut value = usize::from(take(block)?) & full;
    if value < full {
        return Ok(value);
    }
    // Nothing that is sensible needs more than four bytes.
    for shift in [0, 7, 14, 21] {
        let byte = take(block)?;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Corrupt("a number in it is too large"))
}

fn take(block: &mut &[u8]) -> Result<u8, Corrupt> {
    let (&first, rest) = block.split_first().ok_or(CUT_OFF)?;
    *block = rest;
    Ok(first)
}

/// Appends a string (section 5.2).
fn string(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let is_coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    let (string, rest) = block.split_at_checked(length).ok_or(CUT_OFF)?;
    *block = rest;
    if is_coded {
        huffman::decode(string, out)
    } else {
        out.extend_from_slice(string);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::answer::Headers as _;

    fn text(fields: &Fields) -> String {
        let line = |(name, value): (&[u8], &[u8])| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            format!("{}={}", text(name), text(value))
        };
        fields.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex
            .chars()
            .filter_map(|digit| digit.to_digit(16).map(|digit| u8::try_from(digit).unwrap()))
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    /// RFC 7541, C.6: three answers through a table of 256 bytes, from which entries fall out.
    #[test]
    fn the_answers_of_the_standard_are_read() {
        let mut decoder = Decoder {
            limit: 256,
            ..Decoder::default()
        };
        let mut fields = Fields::default();
        let first =
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
                     2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
        decoder.decode(&bytes(first), &mut fields).unwrap();
        assert_eq!(
            text(&fields),
            ":status=302 cache-control=private date=Mon, 21 Oct 2013 20:13:21 GMT \
             location=https://www.example.com"
        );
        assert_eq!(decoder.size, 222);
        decoder
            .decode(&bytes("4883 640e ffc1 c0bf"), &mut fields)
            .unwrap();
        assert!(text(&fields).starts_with(":status=307 cache-control=private date=Mon"));
        let third =
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
                     77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
                     9587 3160 65c0 03ed 4ee5 b106 3d50 07";
        decoder.decode(&bytes(third), &mut fields).unwrap();
        assert_eq!(
            text(&fields),
            ":status=200 cache-control=private date=Mon, 21 Oct 2013 20:13:22 GMT \
             location=https://www.example.com content-encoding=gzip \
             set-cookie=foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
        );
        assert_eq!(decoder.size, 215);
        assert_eq!(fields.first("content-encoding"), Some(&b"gzip"[..]));
        assert_eq!(fields.first("etag"), None);
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        for (hex, why) in [
            ("80", "index 0"),
            ("be", "an entry of an empty table"),
            ("ff ff ff ff ff ff", "a number without end"),
            ("40 05 61", "a name that is cut off"),
            ("40 01 61", "no value"),
            ("88 20", "a table size behind a field"),
            ("3f e2 1f", "a table of 4097 bytes"),
            ("48 82 ff ff", "padding of more than seven bits"),
        ] {
            let mut decoder = Decoder::default();
            let read = decoder.decode(&bytes(hex), &mut Fields::default());
            assert!(read.is_err(), "{why}");
        }
    }

    #[test]
    fn an_entry_that_is_larger_than_the_table_empties_it() {
        let mut decoder = Decoder::default();
        let mut fields = Fields::default();
        decoder
            .decode(&bytes("40 01 61 01 62"), &mut fields)
            .unwrap();
        assert_eq!(decoder.table.len(), 1);
        decoder.decode(&bytes("3f 01 be"), &mut fields).unwrap_err();
        assert_eq!(decoder.table.len(), 0, "32 bytes hold no entry of 34");
        let mut decoder = Decoder::default();
        decoder
            .decode(
                &bytes("3f 03 40 01 61 01 62 40 01 61 02 62 63"),
                &mut fields,
            )
            .unwrap();
        assert_eq!(
            (decoder.table.len(), text(&fields)),
            (0, "a=b a=bc".to_owned())
        );
    }
}
