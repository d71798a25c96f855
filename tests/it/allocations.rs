//! In steady state a request allocates nothing: not its bytes, not its answer, not its timer.

use crate::support::plan_with;
use crate::support::tcp::{Manner, Tcp};
use bench::engine::ports::{Call, Client, Slot, Target};
use bench::http::{HttpTarget, TcpConnect};
use bench::plan::{Captured, TargetAddress};
use bench::record::Outcome;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

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
        let mut slot = target.client().open();
        let mut random = Pcg64Mcg::seed_from_u64(1);
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
                    deadline: Instant::now() + Duration::from_secs(10),
                })
                .await;
            assert_eq!(exchange.outcome, Outcome::Ok, "{:?}", exchange.failure);
            assert_eq!(exchange.connection.opened.is_some(), number == 0);
            stamped += u64::from(exchange.received_by_kernel.is_some());
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
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![0_u8; 100]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
