//! The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B), read.
//!
//! It is a canonical code: codes of one length follow each other in the order of their symbols, and the
//! lengths alone say what they are.

use super::Corrupt;

/// The symbol that says that nothing follows; it never stands in a string.
const END: usize = 256;
const SYMBOLS: usize = END + 1;
const LONGEST: usize = 30;
/// Codes of up to so many bits, those of nearly everything that is sent, are looked up at once.
const SHORT: usize = 8;

/// How many bits the code of each symbol has.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28,
    28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6,
    8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6,
    6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14,
    6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7,
    6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22,
    22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23,
    23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22,
    24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22,
    22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21,
    22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27,
    27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

static CODE: Code = Code::new();

struct Code {
    /// For each length, the first code and its place among the symbols.
    first: [(u32, u16); LONGEST + 1],
    /// How many codes have each length.
    count: [u16; LONGEST + 1],
    /// In the order of their codes.
    symbols: [u16; SYMBOLS],
    /// By the next bits: symbol and length; no length if its code is longer.
    short: [(u8, u8); 1 << SHORT],
}

impl Code {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "symbols with short codes are bytes, all others less than 257; lengths are at most 30"
    )]
    const fn new() -> Self {
        let mut code = Self {
            first: [(0, 0); LONGEST + 1],
            count: [0; LONGEST + 1],
            symbols: [0; SYMBOLS],
            short: [(0, 0); 1 << SHORT],
        };
        let (mut length, mut next, mut place) = (1, 0_u32, 0);
        while length <= LONGEST {
            next <<= 1;
            code.first[length] = (next, place);
            let mut symbol = 0;
            while symbol < SYMBOLS {
                if LENGTHS[symbol] as usize == length {
                    code.symbols[place as usize] = symbol as u16;
                    if length <= SHORT {
                        let free = SHORT - length;
                        let mut rest = 0;
                        while rest < 1 << free {
                            let at = ((next as usize) << free) | rest;
                            code.short[at] = (symbol as u8, length as u8);
                            rest += 1;
                        }
                    }
                    next += 1;
                    place += 1;
                    code.count[length] += 1;
                }
                symbol += 1;
            }
            length += 1;
        }
        code
    }
}

/// Appends the string that these bytes are the code of.
pub(super) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    // The next bits are the upper ones of so many.
    let (mut bits, mut held) = (0_u64, 0);
    let mut bytes = bytes.iter();
    loop {
        while held <= 56 {
            let Some(&byte) = bytes.next() else { break };
            bits |= u64::from(byte) << (56 - held);
            held += 8;
        }
        let (symbol, length) = CODE.short[(bits >> (64 - SHORT)) as usize];
        let (symbol, length) = match length {
            0 => long(bits)?,
            _ => (symbol, usize::from(length)),
        };
        if length > held {
            break;
        }
        out.push(symbol);
        bits <<= length;
        held -= length;
    }
    // What is left are fewer than eight bits, all of them set.
    let is_padding = held < 8 && bits.leading_ones() as usize >= held;
    is_padding
        .then_some(())
        .ok_or(Corrupt("a string is not in the Huffman code"))
}

/// A symbol whose code is not short, and the length of that; or one that is longer than all, where the bits
/// end within it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the next bits are at most 30"
)]
fn long(bits: u64) -> Result<(u8, usize), Corrupt> {
    for length in SHORT + 1..=LONGEST {
        let (first, place) = CODE.first[length];
        let behind = ((bits >> (64 - length)) as u32).wrapping_sub(first);
        if behind < u32::from(CODE.count[length]) {
            let symbol = CODE.symbols[usize::from(place) + behind as usize];
            return match u8::try_from(symbol) {
                Ok(symbol) => Ok((symbol, length)),
                Err(_) => Err(Corrupt("a string holds the sign of its end")),
            };
        }
    }
    Ok((0, usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, Corrupt> {
        let mut out = Vec::new();
        decode(bytes, &mut out).map(|()| out)
    }

    /// What the table says of one symbol, independent of how it is read.
    fn code_of(symbol: usize) -> (u32, usize) {
        let length = usize::from(LENGTHS[symbol]);
        let place = CODE
            .symbols
            .iter()
            .position(|&one| usize::from(one) == symbol)
            .unwrap();
        let (first, from) = CODE.first[length];
        (
            first + u32::try_from(place).unwrap() - u32::from(from),
            length,
        )
    }

    /// The strings of RFC 7541, appendix C.
    #[test]
    fn the_examples_of_the_standard_are_read() {
        let examples: [(&[u8], &str); 4] = [
            (
                &[
                    0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
                ],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (
                &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf],
                "custom-value",
            ),
            (
                &[
                    0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04,
                    0x0b, 0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
                ],
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
        ];
        for (bytes, text) in examples {
            assert_eq!(decoded(bytes).unwrap(), text.as_bytes(), "{text}");
        }
        assert_eq!(decoded(&[]).unwrap(), b"");
    }

    /// Some codes of appendix B, of every kind of length.
    #[test]
    fn codes_are_those_of_the_standard() {
        for (symbol, code) in [
            (0, (0x1ff8, 13)),
            (b'0'.into(), (0x0, 5)),
            (b'~'.into(), (0x1ffd, 13)),
            (b'\\'.into(), (0x7fff0, 19)),
            (b'\n'.into(), (0x3fff_fffc, 30)),
            (255, (0x3ff_ffee, 26)),
            (END, (0x3fff_ffff, 30)),
        ] {
            assert_eq!(code_of(symbol), code, "{symbol}");
        }
    }

    #[test]
    fn every_byte_is_read_wherever_it_stands() {
        for symbol in 0..END {
            for before in 0..8 {
                // Zeros are five bits long and move the code to every place within a byte.
                let (code, length) = code_of(symbol);
                let mut bits = vec![false; before * 5];
                bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
                while !bits.len().is_multiple_of(8) {
                    bits.push(true);
                }
                let byte =
                    |bits: &[bool]| bits.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
                let bytes: Vec<u8> = bits.chunks(8).map(byte).collect();
                let mut expected = vec![b'0'; before];
                expected.push(u8::try_from(symbol).unwrap());
                assert_eq!(decoded(&bytes).unwrap(), expected);
            }
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        // A whole byte of padding, padding of zeros, and the end sign.
        for bytes in [
            &[0xff][..],
            &[0b0000_0000, 0b0000_0000],
            &[0xff, 0xff, 0xff, 0xff],
            &[0xf8, 0xff],
        ] {
            assert!(decoded(bytes).is_err(), "{bytes:x?}");
        }
    }
}
