//! The server under all generators: one thread on epoll, 200 bytes of a chat completion for every request, at once or after
//! a fixed delay, and where that is asked for, its own account of how long each request was with it. The
//! account costs it a tenth of its rate, and the measure of a rate must not be the server.

use hdrhistogram::Histogram;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

const LISTENER: Token = Token(usize::MAX);
const BODY: usize = 200;

struct Connection {
    stream: TcpStream,
    /// A request that has come only in part.
    pending: Vec<u8>,
}

/// An answer that is due later.
struct Due {
    at: Instant,
    to: usize,
    received: Option<Duration>,
}

struct Server {
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    due: VecDeque<Due>,
    delay: Duration,
    /// Whether the kernel stamps what comes.
    stamped: bool,
    requests: u64,
    /// From the kernel's receipt of a request to the hand-over of its answer, in nanoseconds.
    truth: Histogram<u64>,
    arrivals: Arrivals,
    answer: Vec<u8>,
    control: Vec<u8>,
    buffer: Vec<u8>,
}

/// Serves until it is killed; the first line on standard output is the port. `stamped` has it account for
/// the times of requests and not only for their number.
pub(crate) fn serve(core: usize, delay_us: u64, stamped: bool) -> ! {
    super::place::pin_self(core);
    let mut poll = Poll::new().unwrap();
    let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)
        .unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    io::stdout().flush().unwrap();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {BODY}\r\n\r\n"
    )
    .into_bytes();
    answer.extend(completion().as_bytes());
    let mut server = Server {
        connections: Vec::new(),
        free: Vec::new(),
        due: VecDeque::new(),
        delay: Duration::from_micros(delay_us),
        stamped,
        requests: 0,
        truth: Histogram::new(3).unwrap(),
        arrivals: Arrivals::default(),
        answer,
        control: nix::cmsg_space!(TimeSpec),
        buffer: vec![0; 64 * 1024],
    };
    let mut events = Events::with_capacity(1024);
    loop {
        // The poll counts in milliseconds: with answers due, it must not sleep past them.
        let timeout = server.due.front().map(|due| {
            let left = due.at.saturating_duration_since(Instant::now());
            if left < Duration::from_millis(1) {
                Duration::ZERO
            } else {
                left
            }
        });
        poll.poll(&mut events, timeout).unwrap();
        for event in &events {
            if event.token() == LISTENER {
                server.accept(&listener, &poll);
            } else {
                server.read(event.token().0);
            }
        }
        server.answer_what_is_due();
    }
}

/// What the clients of inference services take for an answer, `BODY` bytes of it.
fn completion() -> String {
    let around = |content: &str| {
        format!(
            r#"{{"object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"{content}"}}}}],"usage":{{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}}}"#
        )
    };
    let filling = BODY - around("").len();
    around(&"x".repeat(filling))
}

fn wall() -> Duration {
    clock_gettime(ClockId::CLOCK_REALTIME).unwrap().into()
}

impl Server {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_nodelay(true).unwrap();
            setsockopt(&stream, sockopt::ReceiveTimestampns, &self.stamped).unwrap();
            let place = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            poll.registry()
                .register(&mut stream, Token(place), Interest::READABLE)
                .unwrap();
            self.connections[place] = Some(Connection {
                stream,
                pending: Vec::new(),
            });
        }
    }

    fn read(&mut self, place: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let (bytes, stamp) = match self.receive(place, &mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) | Ok((0, _)) => {
                    if self.connections[place].take().is_some() {
                        self.free.push(place);
                    }
                    break;
                }
                Ok(received) => received,
            };
            let connection = self.connections[place].as_mut().unwrap();
            let mut pending = std::mem::take(&mut connection.pending);
            if pending.is_empty() {
                let used = self.take_requests(place, &buffer[..bytes], stamp);
                pending.extend_from_slice(&buffer[used..bytes]);
            } else {
                pending.extend_from_slice(&buffer[..bytes]);
                let used = self.take_requests(place, &pending, stamp);
                pending.drain(..used);
            }
            if let Some(connection) = &mut self.connections[place] {
                connection.pending = pending;
            }
            if bytes < buffer.len() {
                break;
            }
        }
        self.buffer = buffer;
    }

    fn receive(
        &mut self,
        place: usize,
        buffer: &mut [u8],
    ) -> io::Result<(usize, Option<Duration>)> {
        let connection = self.connections[place].as_mut();
        let stream = &mut connection.ok_or(io::ErrorKind::NotConnected)?.stream;
        if !self.stamped {
            return Ok((stream.read(buffer)?, None));
        }
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<()>(
            stream.as_raw_fd(),
            &mut slices,
            Some(&mut self.control),
            MsgFlags::empty(),
        )?;
        let stamp = message.cmsgs().ok().and_then(|mut messages| {
            messages.find_map(|message| match message {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp.into()),
                _ => None,
            })
        });
        Ok((message.bytes, stamp))
    }

    /// Answers every request that is complete, now or later; how many bytes those had.
    fn take_requests(&mut self, place: usize, bytes: &[u8], stamp: Option<Duration>) -> usize {
        let mut used = 0;
        while let Some((length, is_control)) = request(&bytes[used..]) {
            used += length;
            if is_control {
                let text = self.account();
                if let Some(connection) = &mut self.connections[place] {
                    let _ = connection.stream.write_all(text.as_bytes());
                }
                continue;
            }
            let received = self.stamped.then(|| stamp.unwrap_or_else(wall));
            if let Some(received) = received {
                self.arrivals.count(received);
            }
            if self.delay.is_zero() {
                self.answer_now(place, received);
            } else {
                self.due.push_back(Due {
                    at: Instant::now() + self.delay,
                    to: place,
                    received,
                });
            }
        }
        used
    }

    fn answer_what_is_due(&mut self) {
        let now = Instant::now();
        while self.due.front().is_some_and(|due| due.at <= now) {
            let due = self.due.pop_front().unwrap();
            self.answer_now(due.to, due.received);
        }
    }

    fn answer_now(&mut self, place: usize, received: Option<Duration>) {
        let Some(connection) = &mut self.connections[place] else {
            return;
        };
        self.requests += 1;
        let taken = received.map(|received| wall().saturating_sub(received));
        let _ = connection.stream.write_all(&self.answer);
        if let Some(taken) = taken {
            let taken = u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX);
            let _ = self.truth.record(taken.max(1));
        }
    }

    /// What it has done since it was last asked, as an answer to `GET /account`.
    fn account(&mut self) -> String {
        let body = format!(
            "{} {} {} {}",
            self.requests,
            self.truth.value_at_quantile(0.5),
            self.truth.value_at_quantile(0.99),
            self.arrivals.dispersion()
        );
        self.requests = 0;
        self.arrivals = Arrivals::default();
        self.truth.reset();
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// How many requests came in each millisecond since the first, by the kernel's stamps.
#[derive(Default)]
struct Arrivals {
    first: Option<Duration>,
    counts: Vec<u32>,
}

impl Arrivals {
    fn count(&mut self, at: Duration) {
        let first = *self.first.get_or_insert(at);
        let millisecond = usize::try_from(at.saturating_sub(first).as_millis()).unwrap();
        if self.counts.len() <= millisecond {
            self.counts.resize(millisecond + 1, 0);
        }
        self.counts[millisecond] += 1;
    }

    /// The index of dispersion: variance over mean of the counts. The last millisecond is not whole.
    fn dispersion(&self) -> f64 {
        let whole = &self.counts[..self.counts.len().saturating_sub(1)];
        let mean = whole.iter().map(|&count| f64::from(count)).sum::<f64>() / whole.len() as f64;
        let square = |&count: &u32| (f64::from(count) - mean).powi(2);
        whole.iter().map(square).sum::<f64>() / whole.len() as f64 / mean
    }
}

/// The length of the first complete request, and whether it asks for the account.
fn request(bytes: &[u8]) -> Option<(usize, bool)> {
    const LENGTH: &[u8] = b"content-length:";
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let length = bytes[..head]
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split_at_checked(LENGTH.len()))
        .find(|(name, _)| name.eq_ignore_ascii_case(LENGTH))
        .and_then(|(_, value)| {
            std::str::from_utf8(value)
                .ok()?
                .trim()
                .parse::<usize>()
                .ok()
        })
        .unwrap_or(0);
    let whole = head + length;
    (bytes.len() >= whole).then(|| (whole, bytes.starts_with(b"GET /account ")))
}
