//! How the server does wrong on purpose: errors, delays, one freeze, lost memory.
//!
//! All draws come from one seeded generator, in the order of arrival: the same requests in the same
//! order meet the same fate. What is done wrong is entered into the books here.

use super::books::Books;
use crate::scenario::ReferenceOptions;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// What has been drawn for one inference request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fate {
    /// Whether it fails.
    pub(super) fails: bool,
    /// By how much its answer is delayed, if there are delays.
    delay: Option<Duration>,
}

/// The wrongs that the server was told to do.
#[derive(Debug)]
pub(super) struct Misbehaviour {
    options: ReferenceOptions,
    books: Arc<Books>,
    generator: Mutex<Pcg64Mcg>,
    first_inference: OnceLock<Instant>,
    /// Bytes left behind so far.
    leaked: AtomicU64,
}

impl Misbehaviour {
    pub(super) fn new(options: &ReferenceOptions, books: &Arc<Books>) -> Self {
        Self {
            options: options.clone(),
            books: Arc::clone(books),
            generator: Mutex::new(Pcg64Mcg::seed_from_u64(options.seed)),
            first_inference: OnceLock::new(),
            leaked: AtomicU64::new(0),
        }
    }

    /// A number from [0, 1).
    fn draw<const COUNT: usize>(&self) -> [f64; COUNT] {
        let mut generator = self
            .generator
            .lock()
            .expect("nobody panics while drawing a number");
        std::array::from_fn(|_| generator.random())
    }

    /// Draws what becomes of an inference request. Every request draws the same amount, so that one
    /// option does not change what another one does.
    pub(super) fn fate(&self) -> Fate {
        let [error, delay] = self.draw();
        let options = &self.options;
        Fate {
            fails: error < options.error_rate,
            delay: (!options.delay.mix.is_empty()).then(|| options.delay.at(delay)),
        }
    }

    /// Draws whether a login is refused.
    pub(super) fn refuses_login(&self) -> bool {
        let [draw] = self.draw();
        let refuses = draw < self.options.reject_logins;
        if refuses {
            self.books.rejected_login();
        }
        refuses
    }

    /// Delays an answer that is ready. (The timer is boxed here and below because every request of a
    /// healthy server would carry its room around.)
    pub(super) async fn delay(&self, fate: Fate) {
        let Some(delay) = fate.delay else { return };
        if !delay.is_zero() {
            Box::pin(sleep(delay)).await;
        }
        self.books.delayed(delay);
    }

    /// An inference request has come in; the first one fixes the place of the freeze.
    pub(super) fn inference_arrived(&self, at: Instant) {
        if self.options.stall.is_some() {
            self.first_inference.get_or_init(|| at);
        }
    }

    /// When the freeze begins and ends, once that is known.
    pub(super) fn stall(&self) -> Option<(Instant, Instant)> {
        let stall = self.options.stall?;
        let from = *self.first_inference.get()? + stall.at;
        Some((from, from + stall.length))
    }

    /// Returns at once, except during the freeze, when it returns at its end.
    pub(super) async fn hold(&self) {
        let Some((from, to)) = self.stall() else {
            return;
        };
        let now = Instant::now();
        if from <= now && now < to {
            self.books.held();
            Box::pin(sleep_until(to)).await;
        }
    }

    /// Leaves memory behind that nobody will ever free, up to the limit if there is one.
    pub(super) fn leak(&self) {
        let bytes = self.options.leak_per_request;
        let Ok(length) = usize::try_from(bytes) else {
            return;
        };
        if length == 0 {
            return;
        }
        let before = self.leaked.fetch_add(bytes, Ordering::Relaxed);
        let limit = self.options.leak_limit;
        if limit.is_some_and(|limit| before.saturating_add(bytes) > limit) {
            // Not counted on, so that it cannot wrap around.
            self.leaked.fetch_sub(bytes, Ordering::Relaxed);
            return;
        }
        // Written to, or the system would not back it with memory; and shown to nobody in
        // particular, or the compiler might see that it is never read.
        std::hint::black_box(Vec::leak(vec![0xA5_u8; length]));
        self.books.leaked(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::resident_bytes;
    use super::*;
    use crate::scenario::{Delay, Stall};

    fn misbehaviour(options: &ReferenceOptions) -> Misbehaviour {
        Misbehaviour::new(options, &Arc::default())
    }

    fn faulty(seed: u64) -> ReferenceOptions {
        ReferenceOptions {
            seed,
            error_rate: 0.05,
            delay: Delay::parse("90% 5ms, 9% 20ms, 1% 80ms").unwrap(),
            ..ReferenceOptions::default()
        }
    }

    fn fates(options: &ReferenceOptions, count: usize) -> Vec<Fate> {
        let misbehaviour = misbehaviour(options);
        (0..count).map(|_| misbehaviour.fate()).collect()
    }

    #[test]
    fn fates_follow_from_the_seed_in_the_asked_shares() {
        const COUNT: usize = 100_000;
        let drawn = fates(&faulty(3), COUNT);
        assert_eq!(drawn, fates(&faulty(3), COUNT));
        assert_ne!(drawn, fates(&faulty(4), COUNT));
        let share = |matches: &dyn Fn(&Fate) -> bool| {
            drawn.iter().filter(|fate| matches(fate)).count() as f64 / COUNT as f64
        };
        let delayed = |ms| {
            let delay = Some(Duration::from_millis(ms));
            share(&|fate| fate.delay == delay)
        };
        // Five standard deviations of a share of 5 % in 100 000 draws are 0.35 %.
        assert!((share(&|fate| fate.fails) - 0.05).abs() < 0.0035);
        assert!((delayed(5) - 0.90).abs() < 0.005);
        assert!((delayed(20) - 0.09).abs() < 0.005);
        assert!((delayed(80) - 0.01).abs() < 0.0016);
    }

    #[test]
    fn one_option_does_not_change_what_another_does() {
        let without_errors = ReferenceOptions {
            error_rate: 0.0,
            ..faulty(3)
        };
        let delays = |options| -> Vec<_> {
            let fates = fates(options, 1000);
            fates.iter().map(|fate| fate.delay).collect()
        };
        assert_eq!(delays(&faulty(3)), delays(&without_errors));
        assert!(fates(&without_errors, 1000).iter().all(|fate| !fate.fails));
    }

    #[test]
    fn a_healthy_server_does_nothing_wrong() {
        let healthy = misbehaviour(&ReferenceOptions::default());
        for _ in 0..1000 {
            let fate = healthy.fate();
            assert_eq!((fate.fails, fate.delay), (false, None));
            assert!(!healthy.refuses_login());
            healthy.leak();
        }
        healthy.inference_arrived(Instant::now());
        assert_eq!(healthy.stall(), None);
        assert_eq!(healthy.books.snapshot().leaked_bytes, 0);
    }

    #[test]
    fn logins_are_refused_in_the_asked_share() {
        let options = ReferenceOptions {
            reject_logins: 0.25,
            ..ReferenceOptions::default()
        };
        let misbehaviour = misbehaviour(&options);
        let refused = (0..10_000).filter(|_| misbehaviour.refuses_login()).count();
        assert!((2280..2720).contains(&refused), "{refused}");
        let booked = misbehaviour.books.snapshot().rejected_logins;
        assert_eq!(usize::try_from(booked), Ok(refused));
    }

    #[tokio::test(start_paused = true)]
    async fn the_freeze_begins_so_long_after_the_first_inference() {
        const MS: Duration = Duration::from_millis(1);
        let misbehaviour = misbehaviour(&ReferenceOptions {
            stall: Some(Stall::parse("300ms at 1s").unwrap()),
            ..ReferenceOptions::default()
        });
        let begin = Instant::now();
        let held_from = async |at: Duration| {
            sleep_until(begin + at).await;
            misbehaviour.hold().await;
            begin.elapsed()
        };
        // Nothing is frozen as long as nothing was asked.
        assert_eq!(held_from(1100 * MS).await, 1100 * MS);
        misbehaviour.inference_arrived(Instant::now());
        sleep(500 * MS).await;
        misbehaviour.inference_arrived(Instant::now());
        for (at, until) in [(2099, 2099), (2100, 2400), (2400, 2400), (9000, 9000)] {
            assert_eq!(held_from(at * MS).await, until * MS, "{at}");
        }
        assert_eq!(misbehaviour.books.snapshot().held, 1);
    }

    #[test]
    fn a_cache_is_full_at_its_limit() {
        let misbehaviour = misbehaviour(&ReferenceOptions {
            leak_per_request: 1000,
            leak_limit: Some(3500),
            ..ReferenceOptions::default()
        });
        (0..10).for_each(|_| misbehaviour.leak());
        assert_eq!(misbehaviour.books.snapshot().leaked_bytes, 3000);
    }

    #[test]
    fn leaked_bytes_are_counted_and_really_gone() {
        const MIB: u64 = 1024 * 1024;
        let misbehaviour = misbehaviour(&ReferenceOptions {
            leak_per_request: 32 * MIB,
            ..ReferenceOptions::default()
        });
        let before = resident_bytes();
        (0..2).for_each(|_| misbehaviour.leak());
        let after = resident_bytes();
        assert_eq!(misbehaviour.books.snapshot().leaked_bytes, 64 * MIB);
        // Other tests of this process may give some back meanwhile.
        if let (Some(before), Some(after)) = (before, after) {
            assert!(after > before + 32 * MIB, "{before} {after}");
        }
    }
}
