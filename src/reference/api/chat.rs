//! Chat completions in the shape of the OpenAI API, at once or as a stream of events.

use super::super::books::InFlight;
use super::super::model::MODEL;
use super::super::service::Service;
use super::super::text::{Text, count_tokens};
use super::body;
use super::error::ApiError;
use axum::Json;
use axum::extract::{Request, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The time from one token to the next, and from the beginning to the first.
pub const TOKEN_INTERVAL: Duration = Duration::from_millis(5);

const DEFAULT_MAX_TOKENS: u32 = 64;
const LARGEST_MAX_TOKENS: u32 = 4096;

#[derive(Deserialize)]
struct Chat<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    max_tokens: Option<u32>,
    /// The newer name of `max_tokens`.
    max_completion_tokens: Option<u32>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// What is common to a whole answer and to each piece of a stream.
#[derive(Serialize)]
struct Envelope<'a, C> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'static str,
    choices: &'a [C],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct WholeChoice {
    index: u32,
    message: WholeMessage,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct WholeMessage {
    role: &'static str,
    content: String,
}

#[derive(Serialize)]
struct Piece<'a> {
    index: u32,
    delta: Delta<'a>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

#[derive(Clone, Copy, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are those of the OpenAI API"
)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

/// A completion that is about to be given.
struct Completion {
    id: String,
    created: u64,
    tokens: Vec<String>,
    finish_reason: &'static str,
    usage: Usage,
}

/// `POST /v1/chat/completions`
pub(super) async fn complete(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let fate = service.misbehaviour.fate();
    let body = body::read(request.into_body()).await?;
    let chat: Chat<'_> = body::parse(&body)?;
    let max_tokens = chat.checked()?;
    super::undergo(&service, fate).await?;
    service.misbehaviour.delay(fate).await;
    let completion = Completion::of(&chat, max_tokens, &service);
    if chat.stream.unwrap_or_default() {
        let with_usage = chat
            .stream_options
            .is_some_and(|options| options.include_usage);
        let stream = completion.stream(service, began, with_usage);
        Ok(Sse::new(stream).into_response())
    } else {
        Ok(completion.whole(&service).await)
    }
}

impl Chat<'_> {
    /// The largest number of tokens of the answer.
    fn checked(&self) -> Result<usize, ApiError> {
        body::check_model(&self.model)?;
        if self.messages.is_empty() {
            return Err(ApiError::unprocessable(
                "invalid_request",
                "`messages` is empty",
            ));
        }
        let max_tokens = self.max_completion_tokens.or(self.max_tokens);
        let max_tokens = max_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
        if !(1..=LARGEST_MAX_TOKENS).contains(&max_tokens) {
            return Err(ApiError::unprocessable(
                "invalid_request",
                format!("`max_tokens` is {max_tokens}; 1 to {LARGEST_MAX_TOKENS} are taken"),
            ));
        }
        Ok(max_tokens as usize)
    }

    fn prompt(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().map(|message| &*message.content)
    }
}

impl Completion {
    fn of(chat: &Chat<'_>, max_tokens: usize, service: &Service) -> Self {
        let mut text = Text::answering(chat.prompt());
        let tokens: Vec<String> = text.by_ref().take(max_tokens).collect();
        let finish_reason = if text.next().is_none() {
            "stop"
        } else {
            "length"
        };
        let prompt_tokens = count_tokens(chat.prompt());
        let completion_tokens = tokens.len() as u64;
        Self {
            id: format!("chatcmpl-{}", service.next_id()),
            created: service.unix_seconds(),
            tokens,
            finish_reason,
            usage: Usage {
                prompt_tokens,
                completion_tokens,
                total_tokens: prompt_tokens + completion_tokens,
            },
        }
    }

    /// The whole answer, after the time that its tokens take.
    async fn whole(self, service: &Service) -> Response {
        let count = self.usage.completion_tokens;
        let tokens = u32::try_from(count).unwrap_or(u32::MAX);
        sleep_until(Instant::now() + TOKEN_INTERVAL * tokens).await;
        service.books.tokens(count);
        Json(Envelope {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: MODEL,
            choices: &[WholeChoice {
                index: 0,
                message: WholeMessage {
                    role: "assistant",
                    content: self.tokens.concat(),
                },
                finish_reason: self.finish_reason,
            }],
            usage: Some(self.usage),
        })
        .into_response()
    }

    /// The answer as events: the role, each token at its time, the reason of the end, the usage if
    /// it is wanted, and `[DONE]`.
    fn stream(
        self,
        service: Arc<Service>,
        began: Instant,
        with_usage: bool,
    ) -> impl Stream<Item = Result<Event, Infallible>> {
        let streaming = Streaming {
            next: Next::Role,
            due: Instant::now(),
            last: began,
            with_usage,
            _in_flight: service.books.begin(),
            service,
            completion: self,
        };
        unfold(streaming, async |mut streaming| {
            let event = streaming.event().await?;
            Some((Ok(event), streaming))
        })
    }

    fn chunk(&self, choices: &[Piece<'_>], usage: Option<Usage>) -> Event {
        let chunk = Envelope {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: MODEL,
            choices,
            usage,
        };
        Event::default()
            .json_data(chunk)
            .expect("text and numbers are JSON")
    }

    fn piece(&self, delta: Delta<'_>, finish_reason: Option<&'static str>) -> Event {
        let piece = Piece {
            index: 0,
            delta,
            finish_reason,
        };
        self.chunk(&[piece], None)
    }
}

/// A stream on its way.
struct Streaming {
    service: Arc<Service>,
    completion: Completion,
    with_usage: bool,
    next: Next,
    /// When the next token is due. Counted from the beginning, so that one that is late does not
    /// delay those after it.
    due: Instant,
    /// When the token before this one was handed over; before the first, when the request came in.
    last: Instant,
    _in_flight: InFlight,
}

/// What a stream sends next.
#[derive(Clone, Copy)]
enum Next {
    Role,
    Token(usize),
    Finish,
    Usage,
    Done,
    Nothing,
}

impl Streaming {
    /// The next event at its time; `None` after the last one.
    async fn event(&mut self) -> Option<Event> {
        if let Next::Token(_) = self.next {
            self.due += TOKEN_INTERVAL;
            sleep_until(self.due).await;
        }
        self.service.misbehaviour.hold().await;
        let completion = &self.completion;
        let (event, next) = match self.next {
            Next::Role => {
                let delta = Delta {
                    role: Some("assistant"),
                    content: Some(""),
                };
                (completion.piece(delta, None), Next::Token(0))
            }
            Next::Token(index) => {
                let delta = Delta {
                    content: Some(&completion.tokens[index]),
                    ..Delta::default()
                };
                let now = Instant::now();
                let after = now - std::mem::replace(&mut self.last, now);
                self.service.books.streamed_token(index == 0, after);
                let last = index + 1 == completion.tokens.len();
                let next = if last {
                    Next::Finish
                } else {
                    Next::Token(index + 1)
                };
                (completion.piece(delta, None), next)
            }
            Next::Finish => {
                let event = completion.piece(Delta::default(), Some(completion.finish_reason));
                let next = if self.with_usage {
                    Next::Usage
                } else {
                    Next::Done
                };
                (event, next)
            }
            Next::Usage => (completion.chunk(&[], Some(completion.usage)), Next::Done),
            Next::Done => (Event::default().data("[DONE]"), Next::Nothing),
            Next::Nothing => return None,
        };
        self.next = next;
        Some(event)
    }
}
