//! Answers of HTTP/1.1 (RFC 9112), read piece by piece as their bytes come, across any split.
//!
//! Nothing is copied but a head that is cut in two, and nothing is allocated for an answer whose head
//! comes whole. The decoder touches no socket: it is fed.

use super::answer::Headers;
use httparse::{Header, ParserConfig, Response, Status};
use std::cell::RefCell;
use std::mem::MaybeUninit;

/// The longest head that is read, in bytes.
const LONGEST_HEAD: usize = 256 * 1024;
/// So many header lines of one head are read.
const MOST_HEADERS: usize = 128;
/// Up to this size a head that is still incomplete is parsed anew with each piece, so that garbage is
/// noticed at once; beyond it only when its end may be there, so that the work stays linear.
const EAGERLY_PARSED: usize = 4096;
/// So many interim answers (1xx) may come before the real one.
const MOST_INTERIM: u32 = 32;
/// The longest line that announces a chunk, and the longest trailer section, in bytes.
const LONGEST_CHUNK_META: u32 = 16 * 1024;
const HEAD_TOO_LONG: NotHttp = NotHttp("the head of the answer is longer than 256 KiB");
/// Memory of a cut head above this size is given back.
const KEPT_CARRY: usize = 4096;
/// The longest head that is remembered.
const LONGEST_REMEMBERED: usize = 2048;

thread_local! {
    /// The head that was parsed last. A service sends the same one again and again, until the second or the
    /// length changes: what is byte for byte the same need not be parsed again.
    static LAST_HEAD: RefCell<Remembered> = const { RefCell::new(Remembered::nothing()) };
}

/// A head of a final answer, and what it says.
struct Remembered {
    /// All of it; empty before there is one.
    bytes: Vec<u8>,
    status: u16,
    framing: Framing,
}

impl Remembered {
    const fn nothing() -> Self {
        Self {
            bytes: Vec::new(),
            status: 0,
            framing: Framing {
                body: State::Done,
                persistent: false,
            },
        }
    }

    /// What these bytes say, if they begin with this head: its status, framing and length.
    fn says(&self, bytes: &[u8]) -> Option<(u16, Framing, usize)> {
        let is_it = !self.bytes.is_empty() && bytes.starts_with(&self.bytes);
        is_it.then_some((self.status, self.framing, self.bytes.len()))
    }

    fn remember(&mut self, bytes: &[u8], status: u16, framing: Framing) {
        if bytes.len() <= LONGEST_REMEMBERED {
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
            self.status = status;
            self.framing = framing;
        }
    }
}

/// Bytes that are not HTTP/1.1, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotHttp(pub(super) &'static str);

/// The connection ended within an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EarlyEnd {
    /// What came so far is HTTP.
    Incomplete,
    /// What came so far is not HTTP.
    NotHttp(NotHttp),
}

/// Who is told what is in an answer.
pub(super) trait Listener {
    /// The head of the final answer.
    fn head(&mut self, status: u16, headers: &dyn Headers);
    /// A piece of its body.
    fn data(&mut self, bytes: &[u8]);
}

struct Parsed<'a, 'b>(&'a [Header<'b>]);

impl Headers for Parsed<'_, '_> {
    fn first(&self, name: &str) -> Option<&[u8]> {
        first(self.0, name)
    }
}

/// The value of the first header of this name.
fn first<'b>(headers: &[Header<'b>], name: &str) -> Option<&'b [u8]> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

/// The headers of a head that is known to be one; it is parsed when one of them is asked for.
struct Unparsed<'a>(&'a [u8]);

impl Headers for Unparsed<'_> {
    fn first(&self, name: &str) -> Option<&[u8]> {
        let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let (_, head) = parse(self.0, &mut headers).ok()??;
        first(head.headers, name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// A body of which so much is missing.
    Length(u64),
    Chunked(Chunk),
    /// A body that ends with the connection.
    UntilClose,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// The first digit of a size must come.
    SizeStart,
    Size,
    SizeSpace,
    Extension,
    SizeLf,
    Data(u64),
    DataCr,
    DataLf,
    /// A trailer line or the last empty line.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
}

/// Reads one answer after the other.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    /// The beginning of a head that did not come whole.
    carry: Vec<u8>,
    /// Whether the answer has no body whatever its head says (HEAD).
    bodiless: bool,
    interim: u32,
    /// The size of the chunk that is announced.
    size: u64,
    /// Bytes of chunk announcement or trailers so far.
    meta: u32,
    persistent: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            state: State::Head,
            carry: Vec::new(),
            bodiless: false,
            interim: 0,
            size: 0,
            meta: 0,
            persistent: false,
        }
    }
}

impl Decoder {
    /// A new answer is awaited, to a HEAD request or to another one.
    pub(super) fn start(&mut self, to_head_request: bool) {
        self.state = State::Head;
        self.carry.clear();
        self.carry.shrink_to(KEPT_CARRY);
        self.bodiless = to_head_request;
        self.interim = 0;
        self.size = 0;
        self.meta = 0;
        self.persistent = false;
    }

    /// Whether the answer is complete.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the connection may carry another request after a complete answer.
    pub(super) fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Takes the next bytes; returns how many of them belong to this answer. All do until it is done.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        listener: &mut impl Listener,
    ) -> Result<usize, NotHttp> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.state {
                State::Head => self.head(rest, listener)?,
                State::Length(left) => {
                    let (used, left) = pass_on(rest, left, listener);
                    self.state = if left == 0 {
                        State::Done
                    } else {
                        State::Length(left)
                    };
                    used
                }
                State::Chunked(chunk) => self.chunk(chunk, rest, listener)?,
                State::UntilClose => {
                    listener.data(rest);
                    rest.len()
                }
                State::Done => break,
            };
            rest = &rest[used..];
        }
        Ok(bytes.len() - rest.len())
    }

    /// The connection has ended: completes a body that ends with it.
    pub(super) fn end(&mut self) -> Result<(), EarlyEnd> {
        match self.state {
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Done => Ok(()),
            State::Head if !self.carry.is_empty() => {
                let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
                match parse(&self.carry, &mut headers) {
                    Err(fault) => Err(EarlyEnd::NotHttp(fault)),
                    Ok(_) => Err(EarlyEnd::Incomplete),
                }
            }
            _ => Err(EarlyEnd::Incomplete),
        }
    }

    fn head(&mut self, bytes: &[u8], listener: &mut impl Listener) -> Result<usize, NotHttp> {
        if self.carry.is_empty()
            && let Some((status, framing, length)) = LAST_HEAD.with_borrow(|last| last.says(bytes))
        {
            self.follow(status, framing);
            listener.head(status, &Unparsed(&bytes[..length]));
            return Ok(length);
        }
        self.new_head(bytes, listener)
    }

    /// Apart, because of the room that it takes on the stack.
    #[inline(never)]
    fn new_head(&mut self, bytes: &[u8], listener: &mut impl Listener) -> Result<usize, NotHttp> {
        let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let before = self.carry.len();
        if before == 0 {
            if let Some((length, head)) = parse(bytes, &mut headers)? {
                self.take_head(&bytes[..length], &head, listener)?;
                return Ok(length);
            }
            self.carry.extend_from_slice(bytes);
        } else {
            self.carry.extend_from_slice(bytes);
            let new_from = before.saturating_sub(3);
            let may_be_complete =
                before <= EAGERLY_PARSED || holds_empty_line(&self.carry[new_from..]);
            if may_be_complete {
                let carry = std::mem::take(&mut self.carry);
                let parsed = parse(&carry, &mut headers)?;
                if let Some((length, head)) = parsed {
                    self.take_head(&carry[..length], &head, listener)?;
                    self.carry = carry;
                    self.carry.clear();
                    // A parser that needs the last bytes to be sure cannot be done before them.
                    return Ok(length.saturating_sub(before));
                }
                self.carry = carry;
            }
        }
        if self.carry.len() > LONGEST_HEAD {
            return Err(HEAD_TOO_LONG);
        }
        Ok(bytes.len())
    }

    fn take_head(
        &mut self,
        bytes: &[u8],
        head: &Response<'_, '_>,
        listener: &mut impl Listener,
    ) -> Result<(), NotHttp> {
        let status = head.code.unwrap_or_default();
        if status < 200 {
            if status == 101 {
                return Err(NotHttp("the server switched protocols, unasked"));
            }
            self.interim += 1;
            if status < 100 || self.interim > MOST_INTERIM {
                return Err(NotHttp("interim answers and no real one"));
            }
            return Ok(());
        }
        let framing = Framing::of(head)?;
        LAST_HEAD.with_borrow_mut(|last| last.remember(bytes, status, framing));
        self.follow(status, framing);
        listener.head(status, &Parsed(head.headers));
        Ok(())
    }

    /// What comes after the head of a final answer.
    fn follow(&mut self, status: u16, framing: Framing) {
        self.persistent = framing.persistent;
        self.state = if self.bodiless || status == 204 || status == 304 {
            State::Done
        } else {
            framing.body
        };
        if self.state == State::UntilClose {
            self.persistent = false;
        }
    }

    fn chunk(
        &mut self,
        chunk: Chunk,
        bytes: &[u8],
        listener: &mut impl Listener,
    ) -> Result<usize, NotHttp> {
        if let Chunk::Data(left) = chunk {
            let (used, left) = pass_on(bytes, left, listener);
            self.state = State::Chunked(if left == 0 {
                Chunk::DataCr
            } else {
                Chunk::Data(left)
            });
            return Ok(used);
        }
        let next = self.chunk_meta(chunk, bytes[0])?;
        self.state = next.map_or(State::Done, State::Chunked);
        Ok(1)
    }

    /// One byte of what stands around the data of chunks; `None` is the end of the body.
    fn chunk_meta(&mut self, chunk: Chunk, byte: u8) -> Result<Option<Chunk>, NotHttp> {
        const BAD_SIZE: NotHttp = NotHttp("a chunk size that is no number");
        const BAD_LINE: NotHttp = NotHttp("a chunk that does not end with a line break");
        self.meta += 1;
        if self.meta > LONGEST_CHUNK_META {
            return Err(NotHttp("chunk extensions or trailers without end"));
        }
        let next = match (chunk, byte) {
            (Chunk::SizeStart | Chunk::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let size = self
                    .size
                    .checked_mul(16)
                    .ok_or(NotHttp("a chunk size that no number holds"))?;
                self.size = size + u64::from(digit);
                Chunk::Size
            }
            (Chunk::Size | Chunk::SizeSpace, b' ' | b'\t') => Chunk::SizeSpace,
            (Chunk::Size | Chunk::SizeSpace | Chunk::Extension, b'\r') => Chunk::SizeLf,
            (Chunk::Extension, b'\n') => return Err(BAD_LINE),
            (Chunk::Size | Chunk::SizeSpace, b';') | (Chunk::Extension, _) => Chunk::Extension,
            (Chunk::SizeLf, b'\n') => {
                self.meta = 0;
                match std::mem::take(&mut self.size) {
                    0 => Chunk::TrailerStart,
                    size => Chunk::Data(size),
                }
            }
            (Chunk::SizeStart | Chunk::Size | Chunk::SizeSpace, _) => return Err(BAD_SIZE),
            (Chunk::DataCr, b'\r') => Chunk::DataLf,
            (Chunk::DataLf, b'\n') => {
                self.meta = 0;
                Chunk::SizeStart
            }
            (Chunk::TrailerStart, b'\r') => Chunk::EndLf,
            (Chunk::Trailer, b'\r') => Chunk::TrailerLf,
            (Chunk::TrailerStart | Chunk::Trailer, _) => Chunk::Trailer,
            (Chunk::TrailerLf, b'\n') => Chunk::TrailerStart,
            (Chunk::EndLf, b'\n') => return Ok(None),
            _ => return Err(BAD_LINE),
        };
        Ok(Some(next))
    }
}

/// Hands over what belongs to a body of which so much is missing; how much that was, and how much is
/// missing still.
fn pass_on(bytes: &[u8], left: u64, listener: &mut impl Listener) -> (usize, u64) {
    let used = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    listener.data(&bytes[..used]);
    (used, left - used as u64)
}

fn holds_empty_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

type Head<'h, 'b> = Response<'h, 'b>;

/// A whole head and its length; `None` while more is needed.
fn parse<'h, 'b>(
    bytes: &'b [u8],
    headers: &'h mut [MaybeUninit<Header<'b>>],
) -> Result<Option<(usize, Head<'h, 'b>)>, NotHttp> {
    let mut head = Response::new(&mut []);
    match ParserConfig::default().parse_response_with_uninit_headers(&mut head, bytes, headers) {
        Ok(Status::Complete(length)) if length > LONGEST_HEAD => Err(HEAD_TOO_LONG),
        Ok(Status::Complete(length)) => Ok(Some((length, head))),
        Ok(Status::Partial) => Ok(None),
        Err(error) => Err(NotHttp(match error {
            httparse::Error::HeaderName => "a header name with characters that none may have",
            httparse::Error::HeaderValue => "a header value with characters that none may have",
            httparse::Error::NewLine => "a line break that is none",
            httparse::Error::Status => "a status that is no number",
            httparse::Error::TooManyHeaders => "more than 128 headers",
            httparse::Error::Token | httparse::Error::Version => {
                "the answer does not begin with HTTP/1."
            }
        })),
    }
}

/// How the end of an answer is told, and whether the connection lives on.
#[derive(Clone, Copy, Debug)]
struct Framing {
    body: State,
    persistent: bool,
}

impl Framing {
    fn of(head: &Response<'_, '_>) -> Result<Self, NotHttp> {
        let http_1_0 = head.version == Some(0);
        let mut length: Option<u64> = None;
        let mut coding: Option<&[u8]> = None;
        let (mut closes, mut keeps) = (false, false);
        for header in head.headers.iter() {
            let name = header.name;
            if name.eq_ignore_ascii_case("content-length") {
                for text in header.value.split(|&byte| byte == b',') {
                    let value = number(text.trim_ascii())
                        .ok_or(NotHttp("a content length that is no number"))?;
                    if length.is_some_and(|known| known != value) {
                        return Err(NotHttp("content lengths that contradict each other"));
                    }
                    length = Some(value);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                coding = Some(header.value);
            } else if name.eq_ignore_ascii_case("connection") {
                for option in header.value.split(|&byte| byte == b',') {
                    closes |= option.trim_ascii().eq_ignore_ascii_case(b"close");
                    keeps |= option.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        let body = match (coding, length) {
            (Some(_), _) if http_1_0 => {
                return Err(NotHttp("a transfer coding, which HTTP/1.0 does not have"));
            }
            (Some(codings), _) => {
                let last = codings.rsplit(|&byte| byte == b',').next();
                if last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked")) {
                    State::Chunked(Chunk::SizeStart)
                } else {
                    State::UntilClose
                }
            }
            (None, Some(0)) => State::Done,
            (None, Some(length)) => State::Length(length),
            (None, None) => State::UntilClose,
        };
        Ok(Self {
            body,
            persistent: !closes && (keeps || !http_1_0),
        })
    }
}

/// A number in decimal digits and nothing else.
fn number(text: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let append = |number: u64, byte| number.checked_mul(10)?.checked_add(digit(byte)?);
    let (first, rest) = text.split_first()?;
    rest.iter().try_fold(digit(first)?, append)
}
