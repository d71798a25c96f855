//! The text that chat completions answer with: a walk through a small fixed word graph.
//!
//! The prompt alone decides where the walk goes; the same prompt gets the same text from every
//! server. A token is a word or a full stop.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Words, and for each the words that may follow it.
const WORDS: &[(&str, &[usize])] = &[
    ("the", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("model", &[9, 10, 11, 12]),
    ("server", &[9, 10, 11, 13]),
    ("queue", &[10, 12, 14]),
    ("batch", &[10, 12, 14, 15]),
    ("token", &[11, 12, 15]),
    ("gate", &[9, 11, 13]),
    ("answer", &[10, 12, 15]),
    ("load", &[10, 14, 15]),
    ("measures", &[0, 16, 17]),
    ("waits", &[18, 19, 20]),
    ("counts", &[0, 16, 17]),
    ("arrives", &[18, 19, 21]),
    ("keeps", &[0, 16, 17]),
    ("grows", &[18, 19, 21]),
    ("leaves", &[18, 19, 20, 21]),
    ("every", &[1, 2, 3, 4, 5, 6, 7]),
    ("each", &[1, 2, 4, 5, 7]),
    ("before", &[0, 16, 17]),
    ("while", &[0, 16, 17]),
    ("behind", &[0, 16, 17]),
    ("after", &[0, 16, 17]),
];

/// Words with which a text may begin.
const BEGINNINGS: &[usize] = &[0, 16, 17];
/// The shortest text that ends by itself, in tokens.
const SHORTEST: usize = 8;
/// After that, the chance of each further word to be the last one.
const END_CHANCE: f64 = 1.0 / 16.0;

/// A text in the making: an iterator over its tokens, each with its leading space.
#[derive(Clone, Debug)]
pub(super) struct Text {
    generator: Pcg64Mcg,
    followers: &'static [usize],
    tokens: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Walking,
    Stopping,
    Over,
}

impl Text {
    /// The text that answers these messages.
    pub(super) fn answering<'a>(messages: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Fnv::default();
        for message in messages {
            hash.write(message.as_bytes());
            // "a", "b" is another prompt than "ab".
            hash.write(&[0xFF]);
        }
        Self {
            generator: Pcg64Mcg::seed_from_u64(hash.0),
            followers: BEGINNINGS,
            tokens: 0,
            state: State::Walking,
        }
    }
}

impl Iterator for Text {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.tokens += 1;
        match self.state {
            State::Over => None,
            State::Stopping => {
                self.state = State::Over;
                Some(".".to_owned())
            }
            State::Walking => {
                let choice = self.generator.random_range(0..self.followers.len());
                let (word, followers) = WORDS[self.followers[choice]];
                self.followers = followers;
                if self.tokens + 1 >= SHORTEST && self.generator.random_bool(END_CHANCE) {
                    self.state = State::Stopping;
                }
                let space = if self.tokens == 1 { "" } else { " " };
                Some(format!("{space}{word}"))
            }
        }
    }
}

/// How many tokens a prompt has: its words.
pub(super) fn count_tokens<'a>(messages: impl IntoIterator<Item = &'a str>) -> u64 {
    messages
        .into_iter()
        .map(|message| message.split_whitespace().count() as u64)
        .sum()
}

/// The hash FNV-1a, which is the same in every version of the compiler.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(messages: &[&str]) -> String {
        Text::answering(messages.iter().copied()).collect()
    }

    #[test]
    fn the_prompt_alone_decides() {
        insta::assert_snapshot!(text(&["Say something."]), @"every server measures the server measures each model counts every answer leaves before each answer leaves after each model waits before every gate measures every.");
        assert_eq!(text(&["Say something."]), text(&["Say something."]));
        assert_ne!(text(&["Say something."]), text(&["Say something else."]));
        assert_ne!(text(&["a", "b"]), text(&["ab"]));
    }

    #[test]
    fn texts_end_by_themselves_and_not_at_once() {
        for number in 0..500 {
            let prompt = number.to_string();
            let tokens: Vec<String> = Text::answering([prompt.as_str()]).collect();
            assert!(tokens.len() >= SHORTEST, "{tokens:?}");
            assert!(tokens.len() < 400, "{}", tokens.len());
            assert_eq!(tokens.last().map(String::as_str), Some("."));
            assert_eq!(tokens.iter().filter(|token| *token == ".").count(), 1);
        }
    }

    #[test]
    fn every_word_can_be_reached_and_left() {
        let mut reached = vec![false; WORDS.len()];
        let mut open = BEGINNINGS.to_vec();
        while let Some(word) = open.pop() {
            if !std::mem::replace(&mut reached[word], true) {
                assert!(!WORDS[word].1.is_empty());
                open.extend(WORDS[word].1);
            }
        }
        assert!(reached.iter().all(|&reached| reached), "{reached:?}");
    }
}
