//! Users whose answers come together: all of them read before the first one sends again, where what each sends goes
//! out by itself.

use crate::support::{FakeWall, Kept, header, plan_with, scenario_text};
use bench::engine::ports::{
    Call, Client, ConnectionUse, Exchange, RunClock, Sink as _, Slot, Stop, Target, Told,
};
use bench::engine::{self, Placement, Ports};
use bench::record::{Entry, Outcome};
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::sleep;

/// A target that answers after a fixed time, and writes down who sends and who reads.
#[derive(Clone)]
struct Noted {
    notes: Arc<Mutex<String>>,
    sends_alone: bool,
}

impl Target for Noted {
    type Client = Self;

    fn client(&self) -> Self {
        self.clone()
    }

    fn set_token(&self, _: &str) {}

    async fn token_refused(&self) {
        pending::<()>().await;
    }
}

impl Client for Noted {
    type Slot = Self;

    fn open(&self) -> Self {
        self.clone()
    }
}

impl Slot for Noted {
    fn sends_alone(&self) -> bool {
        self.sends_alone
    }

    async fn exchange<'a>(&'a mut self, call: Call<'a>) -> Exchange {
        let sent_ns = call.clock.now_ns();
        self.notes.lock().unwrap().push('s');
        sleep(Duration::from_millis(10)).await;
        self.notes.lock().unwrap().push('r');
        Exchange {
            outcome: Outcome::Ok,
            sent_ns: Some(sent_ns),
            all_sent_ns: None,
            first_byte_ns: Some(call.clock.now_ns()),
            end_ns: call.clock.now_ns(),
            received_ns: None,
            opening: None,
            failure: None,
            told: Told::default(),
            connection: ConnectionUse::default(),
            bytes_sent: 0,
            bytes_received: 0,
            stream: None,
        }
    }
}

/// Who sends and who reads, of five users that send four requests each.
fn turns(sends_alone: bool) -> String {
    let phase = "[[phase]]\nname = \"only\"\nconcurrency = 5\ncount = 20";
    let plan = plan_with(&scenario_text(phase), 1, &[]);
    let target = Noted {
        notes: Arc::default(),
        sends_alone,
    };
    let mut sink = Kept::default();
    let started = Entry::RunStarted(Box::new(header(&plan)));
    sink.entry(started).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (_open, stop) = watch::channel(Stop::Go);
        let ports = Ports {
            target: target.clone(),
            probes: Vec::new(),
            absent: Vec::new(),
            sink: &mut sink,
            stop,
            wall: &FakeWall::default(),
            logged_in: None,
            placement: Placement::SameThread,
        };
        engine::run(&plan, RunClock::start(), ports).await.unwrap();
    });
    let notes = target.notes.lock().unwrap();
    notes.clone()
}

#[test]
fn users_read_what_has_come_before_they_send_again() {
    assert_eq!(turns(true), "sssssrrrrr".repeat(4));
}

#[test]
fn users_that_share_a_connection_send_at_once() {
    let expected = format!("sssss{}rrrrr", "rs".repeat(15));
    assert_eq!(turns(false), expected);
}
