//! What the events of a stream mean: which of them carry tokens, and which say that it is over.

use super::find::{Found, Lookup, MOST_POINTERS, find};
use super::pointer::Pointer;

/// Where in an event the things stand that are measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Texts of the answer first, then the others.
    pointers: Vec<Pointer>,
    /// How many of them are texts. With none, every event that is not empty carries a token.
    texts: usize,
    finish: Option<usize>,
    tokens: Option<usize>,
    error: Option<usize>,
    done: Option<String>,
}

/// What one event says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// It carries a part of the answer that is not empty.
    pub(super) content: bool,
    /// It says why the answer is over.
    pub(super) finish: Option<&'a str>,
    /// It says how many tokens the answer has.
    pub(super) tokens: Option<u64>,
    /// It says that something went wrong.
    pub(super) failed: bool,
    /// It is the mark that nothing more follows.
    pub(super) done: bool,
}

impl Shape {
    /// Chat completions of the OpenAI API. Text, reasoning, refusals and tool calls are tokens; the
    /// role alone is none.
    pub fn openai_chat() -> Self {
        Self::openai(&[
            "/choices/0/delta/content",
            "/choices/0/delta/reasoning_content",
            "/choices/0/delta/reasoning",
            "/choices/0/delta/refusal",
            "/choices/0/delta/tool_calls",
        ])
    }

    /// Completions of the OpenAI API.
    pub fn openai_completions() -> Self {
        Self::openai(&["/choices/0/text"])
    }

    fn openai(texts: &[&str]) -> Self {
        let pointer = |text: &str| Pointer::parse(text).expect("these pointers are right");
        Self::new(
            texts.iter().map(|text| pointer(text)).collect(),
            Some(pointer("/choices/0/finish_reason")),
            Some(pointer("/usage/completion_tokens")),
            Some(pointer("/error")),
            Some("[DONE]".to_owned()),
        )
    }

    /// A shape of one's own: where the parts of the answer stand, the reason of its end, the number
    /// of its tokens, an error, and the event that marks the end of the stream. Without any text,
    /// every event that is not empty carries a token.
    pub fn new(
        texts: Vec<Pointer>,
        finish: Option<Pointer>,
        tokens: Option<Pointer>,
        error: Option<Pointer>,
        done: Option<String>,
    ) -> Self {
        let mut pointers = texts;
        // The others are three.
        pointers.truncate(MOST_POINTERS - 3);
        let texts = pointers.len();
        let mut add = |pointer: Option<Pointer>| {
            pointer.map(|pointer| {
                pointers.push(pointer);
                pointers.len() - 1
            })
        };
        let (finish, tokens, error) = (add(finish), add(tokens), add(error));
        Self {
            pointers,
            texts,
            finish,
            tokens,
            error,
            done,
        }
    }

    /// Whether events can say why the answer is over.
    pub fn has_finish(&self) -> bool {
        self.finish.is_some()
    }

    /// Whether there is an event that marks the end of the stream.
    pub fn has_done(&self) -> bool {
        self.done.is_some()
    }

    /// Reads one event; `lookup` is memory that is used again and again.
    ///
    /// # Errors
    /// When the event is not JSON, though the shape looks into it.
    pub(super) fn read<'l>(
        &self,
        event: &[u8],
        lookup: &'l mut Lookup,
    ) -> Result<Piece<'l>, String> {
        if let Some(done) = &self.done
            && event.trim_ascii() == done.as_bytes()
        {
            return Ok(Piece {
                done: true,
                ..Piece::default()
            });
        }
        if self.pointers.is_empty() {
            return Ok(Piece {
                content: !event.is_empty(),
                ..Piece::default()
            });
        }
        find(event, &self.pointers, self.finish, lookup).map_err(|error| error.to_string())?;
        let Lookup { found, text } = lookup;
        let at = |position: Option<usize>| position.map_or(Found::Nothing, |at| found[at]);
        let finish = match at(self.finish) {
            Found::Nothing => None,
            Found::Text => Some(text.as_str()),
            Found::Whole(_) | Found::Other => Some("true"),
        };
        let tokens = match at(self.tokens) {
            Found::Whole(tokens) => Some(tokens),
            _ => None,
        };
        let failed = at(self.error) != Found::Nothing;
        let content = if self.texts == 0 {
            finish.is_none() && tokens.is_none() && !failed
        } else {
            found[..self.texts]
                .iter()
                .any(|text| *text != Found::Nothing)
        };
        Ok(Piece {
            content,
            finish,
            tokens,
            failed,
            done: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shape: &Shape, event: &str, expected: &Piece<'_>) {
        let mut lookup = Lookup::default();
        assert_eq!(
            &shape.read(event.as_bytes(), &mut lookup).unwrap(),
            expected,
            "{event}"
        );
    }

    fn content() -> Piece<'static> {
        Piece {
            content: true,
            ..Piece::default()
        }
    }

    #[test]
    fn chat_as_servers_send_it() {
        let chat = Shape::openai_chat();
        let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
        check(&chat, role, &Piece::default());
        let delta = r#"{"choices":[{"index":0,"delta":{"content":" the"},"finish_reason":null}],"usage":null}"#;
        check(&chat, delta, &content());
        let thought = r#"{"choices":[{"delta":{"content":null,"reasoning_content":"hm"}}]}"#;
        check(&chat, thought, &content());
        let call = r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#;
        check(&chat, call, &content());
        // Some servers put the last token and the end into one event.
        let last = r#"{"choices":[{"delta":{"content":"."},"finish_reason":"stop"}]}"#;
        check(
            &chat,
            last,
            &Piece {
                content: true,
                finish: Some("stop"),
                ..Piece::default()
            },
        );
        let usage = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":41}}"#;
        check(
            &chat,
            usage,
            &Piece {
                tokens: Some(41),
                ..Piece::default()
            },
        );
        check(
            &chat,
            r#"{"error":{"message":"CUDA out of memory"}}"#,
            &Piece {
                failed: true,
                ..Piece::default()
            },
        );
        check(
            &chat,
            "[DONE]",
            &Piece {
                done: true,
                ..Piece::default()
            },
        );
        assert!(chat.read(b"<html>", &mut Lookup::default()).is_err());
    }

    #[test]
    fn shapes_of_ones_own() {
        let pointer = |text: &str| Pointer::parse(text);
        let ollama = Shape::new(
            vec![pointer("/message/content").unwrap()],
            pointer("/done"),
            pointer("/eval_count"),
            pointer("/error"),
            None,
        );
        check(
            &ollama,
            r#"{"message":{"content":"Hi"},"done":false}"#,
            &content(),
        );
        check(
            &ollama,
            r#"{"message":{"content":""},"done":true,"eval_count":12}"#,
            &Piece {
                finish: Some("true"),
                tokens: Some(12),
                ..Piece::default()
            },
        );
        let raw = Shape::new(Vec::new(), None, None, None, None);
        check(&raw, "any text", &content());
        check(&raw, "", &Piece::default());
    }
}
