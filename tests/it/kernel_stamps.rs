//! What an answer waits for this program is the generator's own, and not the service's.

use crate::support::plan_with;
use bench::engine::ports::{Call, Client, Exchange, RunClock, Slot, Target};
use bench::http::{HttpTarget, TcpConnect};
use bench::plan::{Captured, TargetAddress};
use bench::record::{Outcome, ReceiveStamps, RequestTally, Sample, Steps};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

/// How long the generator is kept from reading the answer that is there.
const KEPT_BUSY: Duration = Duration::from_millis(30);

/// One exchange whose generator is busy with something else when the answer comes.
fn exchange_of_a_busy_generator() -> Exchange {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, when_asked) = std::sync::mpsc::channel();
    let (busy, when_busy) = std::sync::mpsc::channel();
    let (answered, when_answered) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).unwrap();
        assert!(request[..read].ends_with(b"\r\n\r\n"));
        asked.send(()).unwrap();
        when_busy.recv().unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .unwrap();
        answered.send(()).unwrap();
    });
    let text = format!(
        r#"
name = "busy"
[target]
url = "http://{address}"
[request.get]
path = "/"
[[phase]]
name = "only"
concurrency = 1
duration = "2s"
"#
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
        let call = Call {
            captured: &mut Captured::nothing(),
            token_events: &std::cell::Cell::new(0),
            request: 0,
            number: 0,
            random: &mut random,
            deadline_ns: 60_000_000_000,
            clock: RunClock::start(),
        };
        let generator = async {
            // Lets the request out, and then blocks the thread until well after the answer: it is not
            // given before.
            while when_asked.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
            busy.send(()).unwrap();
            when_answered.recv().unwrap();
            std::thread::sleep(KEPT_BUSY);
        };
        let (exchange, ()) = tokio::join!(slot.exchange(call), generator);
        exchange
    })
}

#[test]
fn the_wait_of_an_answer_for_a_busy_generator_is_not_service_time() {
    let waited = exchange_of_a_busy_generator();
    let wait = waited.steps().client_queue_ns.expect("it is known");
    assert!(u128::from(wait) >= KEPT_BUSY.as_nanos(), "{wait} ns");
    assert_eq!(waited.outcome, Outcome::Ok);
    let (sent_ns, end_ns) = (waited.sent_ns.unwrap(), waited.end_ns);
    let received_ns = waited.received_ns.unwrap();
    let kept_busy_ns = u64::try_from(KEPT_BUSY.as_nanos()).unwrap();
    assert!(sent_ns <= received_ns && received_ns + kept_busy_ns <= end_ns);

    let mut tally = RequestTally::default();
    tally.finish(&Sample {
        stream: None,
        request: 0,
        intended_ns: 0,
        sent_ns: Some(0),
        first_byte_ns: waited.first_byte_ns.map(|at| at - sent_ns),
        end_ns: end_ns - sent_ns,
        received_ns: Some(received_ns - sent_ns),
        outcome: Outcome::Ok,
    });
    let longest = |latencies: &bench::record::Latencies| {
        bench::record::Distribution::max_ns(latencies).unwrap()
    };
    let difference = longest(&tally.response) - longest(&tally.service);
    assert!(
        u128::from(difference) + 1000 >= KEPT_BUSY.as_nanos(),
        "{difference}"
    );

    let mut steps = Steps::default();
    steps.record(&waited.steps());
    assert_eq!(steps.receive_stamps(), ReceiveStamps::Kernel);
}
