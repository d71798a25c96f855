//! Logs in before the load, and renews the token beside it: no request waits for a login, and the time
//! of a login is no request's latency.
//!
//! One token serves all workers. It is renewed some time before it ends, or as soon as the service refuses
//! it; a renewal that fails is tried again, soon and then less often, while the old token still serves.

use super::Placement;
use super::clock::RunClock;
use super::control::Message;
use super::ports::{Call, Client, Slot, Target};
use crate::plan::{Captured, LoginPlan, Plan, Token};
use crate::record::{Cause, Failure, LoginRecord, Outcome};
use crate::units::nanoseconds;
use rand_pcg::Pcg64Mcg;
use std::cell::Cell;
use std::time::Duration;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

/// A first login gets so many tries.
const TRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What came of the first login.
#[derive(Debug)]
pub struct LoggedIn {
    /// Each try, as the record has it.
    pub(super) records: Vec<LoginRecord>,
    /// When the token has to be renewed; `None` for never.
    refresh_at: Option<Instant>,
}

/// Gets the first token of a plan and gives it to the target; `None` for a plan without login.
///
/// # Errors
/// When no token could be had, in words.
pub async fn log_in<T: Target>(
    plan: &Plan,
    target: &T,
    clock: RunClock,
) -> Result<Option<LoggedIn>, String> {
    let Some(login) = &plan.login else {
        return Ok(None);
    };
    let mut slot = target.client().open();
    let mut records = Vec::new();
    for number in 1..=TRIES {
        let asked = Instant::now();
        let at_ns = clock.ns(asked);
        let (token, record) = ask(login, &mut slot, plan.target.timeout, clock, at_ns).await;
        let failure = record.failure.clone();
        // Before the run.
        records.push(LoginRecord { at_ns: 0, ..record });
        if let Some(token) = token {
            target.set_token(&token.text);
            return Ok(Some(LoggedIn {
                records,
                refresh_at: refresh_at(login, &token, asked),
            }));
        }
        if number == TRIES {
            let why = failure.map_or_else(String::new, |failure| failure.detail);
            return Err(format!("cannot log in: {why}"));
        }
        sleep(FIRST_PAUSE).await;
    }
    unreachable!("the last try returns")
}

fn refresh_at(login: &LoginPlan, token: &Token, asked: Instant) -> Option<Instant> {
    let valid_for = token.valid_for?;
    asked.checked_add(login.refresh_after(valid_for))
}

/// Asks for a token once.
async fn ask<S: Slot>(
    login: &LoginPlan,
    slot: &mut S,
    timeout: Duration,
    clock: RunClock,
    at_ns: u64,
) -> (Option<Token>, LoginRecord) {
    let mut captured = Captured::nothing();
    let exchange = slot
        .exchange(Call {
            request: login.request,
            number: 0,
            random: &mut Pcg64Mcg::new(0),
            deadline_ns: at_ns.saturating_add(nanoseconds(timeout)),
            clock,
            token_events: &Cell::new(0),
            captured: &mut captured,
        })
        .await;
    let took_ns = exchange.end_ns.saturating_sub(at_ns);
    let (outcome, token, failure) = match exchange.outcome {
        Outcome::Ok => match login.token(&captured) {
            Ok(token) => (Outcome::Ok, Some(token), None),
            Err(detail) => {
                let failure = Failure {
                    cause: Cause::NotCaptured(0),
                    detail,
                    body: String::new(),
                };
                (Outcome::FailedCheck, None, Some(failure))
            }
        },
        outcome => (outcome, None, exchange.failure.map(|failure| *failure)),
    };
    let valid_for = token.as_ref().and_then(|token| token.valid_for);
    let record = LoginRecord {
        at_ns,
        took_ns,
        outcome,
        valid_ns: valid_for.map(nanoseconds),
        failure,
        after_refusal: false,
    };
    (token, record)
}

/// Renews the token until it is stopped.
pub(super) struct Keeper {
    stop: oneshot::Sender<()>,
    hand: Hand,
}

enum Hand {
    Thread(std::thread::JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

/// Starts to renew the token beside the load; `None` without a login.
pub(super) fn keep<T: Target>(
    plan: &Plan,
    logged_in: &LoggedIn,
    target: &T,
    clock: RunClock,
    out: &UnboundedSender<Message>,
    placement: Placement,
) -> Option<Keeper> {
    let (stop, stopped) = oneshot::channel();
    let renewal = Renewal {
        login: plan.login.clone()?,
        timeout: plan.target.timeout,
        target: target.clone(),
        at: logged_in.refresh_at,
        clock,
        out: out.clone(),
    };
    let hand = match placement {
        Placement::SameThread => Hand::Task(tokio::task::spawn_local(renewal.run_until(stopped))),
        Placement::Threads => {
            let thread = std::thread::Builder::new()
                .name("login".to_owned())
                .spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build_local(LocalOptions::default())
                        .expect("a runtime needs an epoll instance and a pipe");
                    runtime.block_on(renewal.run_until(stopped));
                })
                .expect("the system can start a thread for the login");
            Hand::Thread(thread)
        }
    };
    Some(Keeper { stop, hand })
}

impl Keeper {
    /// Ends it; when this returns, its last login has been told.
    pub(super) async fn stop(self) {
        drop(self.stop);
        match self.hand {
            // It waits for nothing but the stop.
            Hand::Thread(thread) => drop(thread.join()),
            Hand::Task(task) => drop(task.await),
        }
    }
}

struct Renewal<T> {
    login: LoginPlan,
    timeout: Duration,
    target: T,
    /// When it is due; `None` for never.
    at: Option<Instant>,
    clock: RunClock,
    out: UnboundedSender<Message>,
}

impl<T: Target> Renewal<T> {
    async fn run_until(self, stopped: oneshot::Receiver<()>) {
        tokio::select! {
            () = self.run() => {}
            _ = stopped => {}
        }
    }

    async fn run(mut self) {
        let mut slot = self.target.client().open();
        let mut pause = FIRST_PAUSE;
        loop {
            let after_refusal = self.until_due(pause).await;
            let asked = Instant::now();
            let at_ns = self.clock.ns(asked);
            let (token, record) =
                ask(&self.login, &mut slot, self.timeout, self.clock, at_ns).await;
            if let Some(token) = &token {
                self.target.set_token(&token.text);
            }
            // A control side that is gone wants to know nothing more.
            let _ = self.out.send(Message::Login(LoginRecord {
                after_refusal,
                ..record
            }));
            self.at = match &token {
                Some(token) => refresh_at(&self.login, token, asked),
                None => Instant::now().checked_add(pause),
            };
            // Who refuses each new token is not asked for ever more of them in vain.
            pause = if token.is_some() && !after_refusal {
                FIRST_PAUSE
            } else {
                (pause * 2).min(LONGEST_PAUSE)
            };
        }
    }

    /// Waits until a login is due, or for a pause after the token was refused; whether it was.
    async fn until_due(&self, pause: Duration) -> bool {
        let since = Instant::now();
        let due = async {
            match self.at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let refused = async {
            self.target.token_refused().await;
            sleep_until(since + pause).await;
        };
        tokio::select! {
            biased;
            () = due => false,
            () = refused => true,
        }
    }
}
