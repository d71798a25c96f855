//! Reads one streamed answer from its first to its last byte.

use super::find::Lookup;
use super::ndjson::NdjsonParser;
use super::shape::Shape;
use super::sse::SseParser;

/// How the events of a stream are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Server-sent events.
    Sse,
    /// One JSON value a line.
    Ndjson,
}

/// What must have come for a stream to be complete, beside the end of the answer itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// The reason why the answer is over.
    pub finish: bool,
    /// The mark that nothing more follows.
    pub done: bool,
}

/// How an answer is streamed, and what makes it complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamForm {
    /// How its events are told apart.
    pub format: Format,
    /// What they mean.
    pub shape: Shape,
    /// What must have come.
    pub ending: Ending,
    /// The reasons of its end that are right; empty for any.
    pub reasons: Vec<String>,
}

/// What is wrong with a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// An event is not JSON, though the shape looks into it.
    #[error("an event of the stream is not JSON: {0}")]
    NotJson(String),
    /// An event says that something went wrong.
    #[error("the stream reports an error: {0}")]
    Reported(String),
    /// A line or an event is longer than 4 MiB.
    #[error("an event of the stream is longer than 4 MiB")]
    TooLong,
    /// The answer ended before what should have come.
    #[error("the stream ended without {0}")]
    CutOff(&'static str),
    /// The reason of its end is not one of those that are right.
    #[error("the answer ended because of `{found}`, expected {expected}")]
    WrongReason {
        /// The reason.
        found: String,
        /// Those that are right, in words.
        expected: String,
    },
}

/// Reads one stream after the other; its memory is kept between them.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    sse: SseParser,
    ndjson: NdjsonParser,
    lookup: Lookup,
    state: State,
}

/// What has come of one stream.
#[derive(Clone, Debug, Default)]
struct State {
    events: u64,
    tokens: Option<u64>,
    finished: bool,
    /// Why, where the server said so.
    reason: String,
    done: bool,
    trouble: Option<Trouble>,
}

impl Reader {
    /// A new stream begins.
    pub fn reset(&mut self) {
        self.sse.reset();
        self.ndjson.reset();
        let mut reason = std::mem::take(&mut self.state.reason);
        reason.clear();
        self.state = State {
            reason,
            ..State::default()
        };
    }

    /// Reads the next piece of a stream, and returns how many events with tokens it completed.
    pub fn feed(&mut self, form: &StreamForm, bytes: &[u8]) -> u64 {
        let Self {
            sse,
            ndjson,
            lookup,
            state,
        } = self;
        let (before, shape) = (state.events, &form.shape);
        let read = match form.format {
            Format::Sse => sse.feed(bytes, |event| state.event(shape, lookup, event.data)),
            Format::Ndjson => ndjson.feed(bytes, |line| state.event(shape, lookup, line)),
        };
        if read.is_err() {
            state.trouble.get_or_insert(Trouble::TooLong);
        }
        state.events - before
    }

    /// The answer is over: what its last line, where no break ended it, adds.
    pub fn finish(&mut self, form: &StreamForm) -> u64 {
        let Self {
            ndjson,
            lookup,
            state,
            ..
        } = self;
        let before = state.events;
        if form.format == Format::Ndjson {
            ndjson.finish(|line| state.event(&form.shape, lookup, line));
        }
        state.events - before
    }

    /// Whether the stream is complete and without trouble.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&self, form: &StreamForm) -> Result<(), Trouble> {
        if let Some(trouble) = &self.state.trouble {
            return Err(trouble.clone());
        }
        if form.ending.finish && !self.state.finished {
            return Err(Trouble::CutOff("a reason of its end"));
        }
        if form.ending.done && !self.state.done {
            return Err(Trouble::CutOff("the mark of its end"));
        }
        if self.state.finished
            && !form.reasons.is_empty()
            && !form.reasons.contains(&self.state.reason)
        {
            return Err(Trouble::WrongReason {
                found: self.state.reason.clone(),
                expected: form.reasons.join(" or "),
            });
        }
        Ok(())
    }

    /// The events with tokens so far.
    pub fn events(&self) -> u64 {
        self.state.events
    }

    /// The tokens of the answer, as the server counted them.
    pub fn tokens(&self) -> Option<u64> {
        self.state.tokens
    }
}

impl State {
    fn event(&mut self, shape: &Shape, lookup: &mut Lookup, data: &[u8]) {
        // What follows the mark of the end is not part of the answer.
        if self.done {
            return;
        }
        match shape.read(data, lookup) {
            Err(error) => {
                self.trouble.get_or_insert(Trouble::NotJson(error));
            }
            Ok(piece) => {
                if piece.failed {
                    let data = String::from_utf8_lossy(data).into_owned();
                    self.trouble.get_or_insert(Trouble::Reported(data));
                }
                self.events += u64::from(piece.content);
                self.tokens = piece.tokens.or(self.tokens);
                if let Some(reason) = piece.finish
                    && !self.finished
                {
                    self.finished = true;
                    self.reason.push_str(reason);
                }
                self.done = piece.done;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat() -> StreamForm {
        StreamForm {
            format: Format::Sse,
            shape: Shape::openai_chat(),
            ending: Ending {
                finish: true,
                done: true,
            },
            reasons: Vec::new(),
        }
    }

    const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

    fn read(text: &str) -> Reader {
        let mut reader = Reader::default();
        reader.feed(&chat(), text.as_bytes());
        reader.finish(&chat());
        reader
    }

    #[test]
    fn a_complete_stream() {
        let usage = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":3}}\n\n";
        let reader = read(&format!(
            "{TOKEN}{TOKEN}{STOP}{usage}data: [DONE]\n\n{TOKEN}"
        ));
        assert_eq!(reader.judge(&chat()), Ok(()));
        assert_eq!((reader.events(), reader.tokens()), (2, Some(3)));
        let cut_short = StreamForm {
            reasons: vec!["length".to_owned()],
            ..chat()
        };
        let trouble = reader.judge(&cut_short).unwrap_err();
        assert_eq!(
            trouble.to_string(),
            "the answer ended because of `stop`, expected length"
        );
    }

    #[test]
    fn each_trouble_is_told_apart() {
        let of = |text: &str| read(text).judge(&chat()).unwrap_err();
        assert_eq!(of(TOKEN), Trouble::CutOff("a reason of its end"));
        assert_eq!(
            of(&format!("{TOKEN}{STOP}")),
            Trouble::CutOff("the mark of its end")
        );
        // An event without its empty line never came.
        assert_eq!(
            of(&format!("{TOKEN}{STOP}data: [DONE]\n")),
            Trouble::CutOff("the mark of its end")
        );
        assert!(matches!(of("data: oops\n\n"), Trouble::NotJson(_)));
        let error = format!("{TOKEN}data: {{\"error\":{{\"code\":500}}}}\n\n{STOP}");
        assert_eq!(
            of(&error),
            Trouble::Reported("{\"error\":{\"code\":500}}".to_owned())
        );
        assert_eq!(
            of(&format!("data: {}", "x".repeat(5 << 20))),
            Trouble::TooLong
        );
    }

    #[test]
    fn a_reader_is_used_again() {
        let mut reader = read(&format!("{TOKEN}{STOP}data: [DONE]\n\ndata: half"));
        reader.reset();
        assert_eq!(reader.feed(&chat(), TOKEN.as_bytes()), 1);
        assert_eq!(
            reader.judge(&chat()),
            Err(Trouble::CutOff("a reason of its end"))
        );
    }
}
