//! In steady state a request allocates nothing: not its bytes, not its answer, not its timer, and nothing
//! in the engine that sends it.

use crate::support::tcp::{Manner, Tcp};
use crate::support::{FakeWall, Kept, header, plan_with};
use bench::engine::ports::{Call, Client, Exchange, RunClock, Sink, Slot, Stop, Target};
use bench::engine::{self, Placement, Ports};
use bench::http::{HttpTarget, TcpConnect};
use bench::plan::{Captured, TargetAddress};
use bench::record::{Entry, Outcome, RunRecord, Streamed};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// The system's allocator, which counts what each thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more, and nobody who would ask.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

#[expect(unsafe_code, reason = "an allocator can only be watched by being one")]
// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract; the
// counter is a plain thread-local that allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the pointer came from `System` with this layout; the caller keeps the rest.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How much a thousand requests allocate, once the slot is warm.
fn allocations_of_a_thousand(request: &str) -> u64 {
    let server = Tcp::serve(Manner::Answer(200, vec![b'x'; 200], Duration::ZERO));
    let text = format!(
        r#"
name = "steady"
[target]
url = "{}"
headers = {{ x-tenant = "steady" }}
[request.get]
{request}
[[phase]]
name = "only"
concurrency = 1
duration = "2s"
"#,
        server.url()
    );
    let plan = plan_with(&text, 1, &[]);
    let TargetAddress::Http(url) = plan.target.address.clone() else {
        panic!("the target is a URL");
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let connect = TcpConnect::resolve(&url.host, url.port).await.unwrap();
        let target = HttpTarget::new(&plan, &url, connect).unwrap();
        target.set_token(&"token".repeat(40));
        let mut slot = target.client().open();
        let mut random = Pcg64Mcg::seed_from_u64(1);
        let clock = RunClock::start();
        let (mut before, mut stamped) = (0, 0);
        for number in 0..1100 {
            if number == 100 {
                before = ALLOCATIONS.get();
            }
            let exchange = slot
                .exchange(Call {
                    captured: &mut Captured::nothing(),
                    token_events: &Cell::new(0),
                    request: 0,
                    // As many digits for each of them.
                    number: 10_000 + number,
                    random: &mut random,
                    deadline_ns: clock.now_ns() + 10_000_000_000,
                    clock,
                })
                .await;
            assert_eq!(exchange.outcome, Outcome::Ok, "{:?}", exchange.failure);
            assert_eq!(exchange.connection.opened_ns.is_some(), number == 0);
            stamped += u64::from(exchange.received_ns.is_some());
        }
        let allocations = ALLOCATIONS.get() - before;
        // The kernel begins to stamp a moment after it has been asked to.
        assert_eq!(stamped > 100, cfg!(target_os = "linux"), "{stamped}");
        allocations
    })
}

#[test]
fn a_request_that_never_changes_allocates_nothing() {
    assert_eq!(allocations_of_a_thousand("path = \"/\""), 0);
}

#[test]
fn a_request_that_is_rendered_allocates_nothing() {
    let request = r#"
path = "/items/{{number}}?tag={{pick:a,b}}"
headers = { x-request-id = "{{uuid}}" }"#;
    assert_eq!(allocations_of_a_thousand(request), 0);
}

#[test]
fn a_request_that_sends_the_token_of_the_login_allocates_nothing() {
    let request = r#"
path = "/"
headers = { authorization = "Bearer {{login.token}}" }
retry = { times = 2 }
[login]
path = "/auth/token"
token = "/access_token""#;
    assert_eq!(allocations_of_a_thousand(request), 0);
}

/// A target that notes at the begin of each request how much its worker has allocated until then.
#[derive(Clone)]
struct Noted<T> {
    target: T,
    notes: Arc<Mutex<Vec<u64>>>,
}

impl<T: Target> Target for Noted<T> {
    type Client = Noted<T::Client>;

    fn client(&self) -> Self::Client {
        Noted {
            target: self.target.client(),
            notes: Arc::clone(&self.notes),
        }
    }

    fn set_token(&self, token: &str) {
        self.target.set_token(token);
    }

    async fn token_refused(&self) {
        self.target.token_refused().await;
    }
}

impl<C: Client> Client for Noted<C> {
    type Slot = Noted<C::Slot>;

    fn open(&self) -> Self::Slot {
        Noted {
            target: self.target.open(),
            notes: Arc::clone(&self.notes),
        }
    }
}

impl<S: Slot> Slot for Noted<S> {
    async fn exchange<'a>(&'a mut self, call: Call<'a>) -> Exchange {
        self.notes.lock().unwrap().push(ALLOCATIONS.get());
        self.target.exchange(call).await
    }

    fn reclaim(&mut self, stream: Box<Streamed>) {
        self.target.reclaim(stream);
    }
}

/// One in a hundred requests. On a machine that is taken away for a while an open loop opens further
/// connections in the middle of its load: the loads below can have a few of them at most.
const FEW: usize = 100;

/// After how many of ten thousand requests the worker had allocated something, once it is warm: a few, as
/// it hands over a second of its books or meets a latency that it has not seen before.
fn allocating_requests(request: &str, body: &[u8], load: &str) -> usize {
    const WARM: usize = 2000;
    const COUNT: usize = 10_000 + WARM;
    let server = Tcp::serve(Manner::Answer(200, body.to_vec(), Duration::ZERO));
    let text = format!(
        r#"
name = "steady"
[target]
url = "{}"
[request.get]
{request}
[[phase]]
name = "only"
count = {COUNT}
{load}
"#,
        server.url()
    );
    let plan = plan_with(&text, 1, &[]);
    let TargetAddress::Http(url) = plan.target.address.clone() else {
        panic!("the target is a URL");
    };
    let notes = Arc::new(Mutex::new(Vec::with_capacity(COUNT)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut sink = Kept::default();
    let started = Entry::RunStarted(Box::new(header(&plan)));
    sink.entry(started).unwrap();
    runtime.block_on(async {
        let connect = TcpConnect::resolve(&url.host, url.port).await.unwrap();
        let target = HttpTarget::new(&plan, &url, connect).unwrap();
        let (_stopper, stop) = watch::channel(Stop::Go);
        let ports = Ports {
            target: Noted {
                target,
                notes: Arc::clone(&notes),
            },
            probes: Vec::new(),
            absent: Vec::new(),
            sink: &mut sink,
            stop,
            wall: &FakeWall::default(),
            logged_in: None,
            placement: Placement::Threads,
        };
        engine::run(&plan, RunClock::start(), ports).await.unwrap();
    });
    let record = RunRecord::from_journal(sink.entries).unwrap();
    let outcomes = &record.phases[0].total.outcomes;
    assert_eq!(outcomes.of(Outcome::Ok), COUNT as u64);
    let notes = notes.lock().unwrap();
    assert_eq!(notes.len(), COUNT);
    notes[WARM..]
        .windows(2)
        .filter(|pair| pair[0] != pair[1])
        .count()
}

#[test]
fn the_engine_allocates_nothing_for_a_request() {
    for load in ["concurrency = 8", "rate = 5000\nmax_in_flight = 8"] {
        let allocating = allocating_requests("path = \"/\"", b"ok", load);
        assert!(allocating <= FEW, "{load}: {allocating}");
    }
}

#[test]
fn the_engine_allocates_nothing_for_a_token() {
    let tokens = 40;
    let token = r#"data: {"id":"chat-1","object":"chat.completion.chunk","created":1732752000,"model":"m","choices":[{"index":0,"delta":{"content":" the"},"logprobs":null,"finish_reason":null}]}"#;
    let mut body = format!("{token}\n\n").repeat(tokens);
    body.push_str(
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
    );
    let request = "path = \"/\"\nstream = \"sse\"\nshape = \"openai-chat\"";
    let allocating = allocating_requests(request, body.as_bytes(), "concurrency = 8");
    assert!(allocating <= FEW, "{allocating}");
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![0_u8; 100]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
