//! Misbehaviour as clients feel it, and as the truth tells it.

use super::super::MODEL;
use super::*;
use crate::record::Distribution as _;
use tokio::time::{Instant, sleep_until};

#[tokio::test(start_paused = true)]
async fn a_fixed_delay_is_added_to_every_answer() {
    let service = Service::start(&ReferenceOptions {
        delay: Delay::parse("25ms").unwrap(),
        ..ReferenceOptions::default()
    });
    let sets = json!({ "model": MODEL, "inputs": [inputs(0), inputs(1)] });
    let took = [
        service.post("/v1/inference", &ask(0)).await.took,
        service.post("/v1/inference/batch", &sets).await.took,
        service.get("/health").await.took,
    ];
    assert_eq!(took, [35 * MS, 35 * MS, Duration::ZERO]);
    let truth = service.truth();
    assert_eq!(Vec::from_iter(truth.delays.by_us), [(25_000, 2)]);
    assert_eq!(truth.delays.sum_ms, 50.0);
}

#[tokio::test(start_paused = true)]
async fn a_mix_of_delays_is_what_the_truth_says() {
    let service = Service::start(&ReferenceOptions {
        delay: Delay::parse("50% 5ms, 40% 20ms, 10% 80ms").unwrap(),
        ..immediate()
    });
    let mut seen = std::collections::BTreeMap::new();
    for number in 0..100 {
        let reply = service.post("/v1/inference", &ask(number)).await;
        let micros = u64::try_from(reply.took.as_micros()).unwrap();
        *seen.entry(micros).or_insert(0) += 1;
    }
    let truth = service.truth();
    assert_eq!(truth.delays.by_us, seen);
    assert!(seen.keys().eq(&[5000, 20_000, 80_000]), "{seen:?}");
    // The server's own time is what its client saw: there is no network in between.
    let buckets: Vec<_> = truth.server_time.latencies.buckets().collect();
    let counts = buckets.iter().map(|(_, count)| count);
    assert!(counts.eq(seen.values()), "{buckets:?}");
    assert_eq!(truth.server_time.max_ms.map(f64::round), Some(80.0));
}

#[tokio::test(start_paused = true)]
async fn a_share_of_requests_fails_the_same_ones_each_time() {
    let options = ReferenceOptions {
        error_rate: 0.2,
        ..immediate()
    };
    let mut runs = Vec::new();
    for _ in 0..2 {
        let service = Service::start(&options);
        let mut failed = Vec::new();
        for number in 0..100 {
            let reply = service.post("/v1/inference", &ask(number)).await;
            if reply.status != 200 {
                assert_eq!(reply.error(), (500, "injected_error".to_owned()));
                failed.push(number);
            }
        }
        let count = failed.len() as u64;
        assert!((8..=35).contains(&count), "{count}");
        let truth = service.truth();
        assert_eq!(truth.injected_errors, count);
        assert_eq!(truth.requests["/v1/inference"][&500], count);
        assert_eq!(truth.inference_answers, 100 - count);
        assert_eq!(truth.server_time.latencies.count(), 100 - count);
        runs.push(failed);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_during_the_freeze() {
    let service = Service::start(&ReferenceOptions {
        stall: Some(Stall::parse("500ms at 1s").unwrap()),
        delay: Delay::parse("40ms").unwrap(),
        ..immediate()
    });
    tokio::time::sleep(250 * MS).await;
    let begin = Instant::now();
    let send = |at: Duration, path: &'static str| {
        let service = service.clone();
        tokio::spawn(async move {
            sleep_until(begin + at).await;
            if path == "/health" {
                service.get(path).await;
            } else {
                service.post(path, &ask(0)).await;
            }
            begin.elapsed()
        })
    };
    let inference = "/v1/inference";
    let cases = [
        (0, inference, 40),
        // Its answer is ready just before the freeze.
        (959, inference, 999),
        // Its answer is ready in the freeze, and held to its end.
        (970, inference, 1500),
        // It arrives in the freeze, and is worked on after its end.
        (1000, inference, 1540),
        (1200, "/health", 1500),
        (1499, inference, 1540),
        (1500, inference, 1540),
        (1600, "/health", 1600),
    ];
    let sent: Vec<_> = cases
        .iter()
        .map(|&(at, path, _)| send(at * MS, path))
        .collect();
    for ((at, path, until), ended) in cases.into_iter().zip(sent) {
        assert_eq!(ended.await.unwrap(), until * MS, "{path} at {at} ms");
    }
    let stall = service.truth().stall.unwrap();
    assert_eq!(
        (stall.from_ms, stall.to_ms, stall.held),
        (1250.0, 1750.0, 4)
    );
}

#[tokio::test(start_paused = true)]
async fn the_freeze_has_no_place_before_the_first_inference() {
    let service = Service::start(&ReferenceOptions {
        stall: Some(Stall::parse("1s at 0ms").unwrap()),
        ..immediate()
    });
    assert_eq!(service.get("/health").await.took, Duration::ZERO);
    assert_eq!(service.truth().stall, None);
    // It begins with the very first request, which is held too.
    let reply = service.post("/v1/inference", &ask(0)).await;
    assert_eq!(reply.took, 1000 * MS);
    assert_eq!(service.truth().stall.map(|stall| stall.held), Some(1));
}

#[tokio::test(start_paused = true)]
async fn each_inference_request_leaves_its_bytes_behind() {
    let service = Service::start(&ReferenceOptions {
        leak_per_request: 1000,
        ..immediate()
    });
    for _ in 0..3 {
        service.post("/v1/inference", &ask(0)).await;
    }
    service.post("/v1/jobs", &ask(0)).await;
    service.post("/v1/inference", &json!({})).await;
    service.get("/health").await;
    // A request that is refused has never become work.
    assert_eq!(service.truth().leaked_bytes, 4000);
}
