//! The token of the login, as slots see it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// The token that is valid now. It is written once in a long while; who sends a request looks only at a
/// number that says whether it was.
#[derive(Default)]
pub(super) struct Token {
    version: AtomicU64,
    /// This one and the one before it: an answer in flight may still repeat that.
    latest: Mutex<[Option<Arc<str>>; 2]>,
    /// The version of the last token that was refused.
    refused: AtomicU64,
    is_refused: Notify,
}

/// What a slot knows of the token.
pub(super) struct Known {
    version: u64,
    token: Arc<str>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            version: 0,
            token: Arc::from(""),
        }
    }
}

impl Token {
    /// From now on this one is valid.
    pub(super) fn set(&self, token: &str) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.swap(0, 1);
        latest[0] = Some(Arc::from(token));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// A request that held this token was turned away for it. One that a newer token has replaced
    /// meanwhile says nothing, and one says it once.
    pub(super) fn refuse(&self, known: &Known) {
        let is_current = known.version == self.version.load(Ordering::Acquire);
        if is_current && self.refused.swap(known.version, Ordering::AcqRel) != known.version {
            self.is_refused.notify_one();
        }
    }

    /// Returns when the token that is valid now was refused, be it before the call. That one was which
    /// has been replaced since concerns nobody any more.
    pub(super) async fn refused(&self) {
        while self.refused.load(Ordering::Acquire) != self.version.load(Ordering::Acquire) {
            self.is_refused.notified().await;
        }
    }

    /// What must never be shown.
    pub(super) fn secrets(&self) -> Vec<Arc<str>> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.iter().flatten().cloned().collect()
    }
}

impl Known {
    /// The token that is valid now.
    pub(super) fn current(&mut self, token: &Token) -> &str {
        let version = token.version.load(Ordering::Acquire);
        if version != self.version {
            let latest = token.latest.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(current) = &latest[0] {
                self.token = Arc::clone(current);
            }
            self.version = version;
        }
        &self.token
    }
}
