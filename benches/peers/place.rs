//! Which core serves and which one generates.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::Serialize;
use std::fmt;

/// Where server and generators run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Place {
    pub(crate) server_core: usize,
    pub(crate) client_core: usize,
}

impl Place {
    pub(crate) fn choose() -> Self {
        let cores = usable_cores();
        Self {
            server_core: cores[0],
            client_core: client_core(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, client) = (self.server_core, self.client_core);
        if server == client {
            return write!(
                f,
                "server and generators share the only core {server}: ratios are distorted"
            );
        }
        write!(f, "server on core {server}, generators on core {client}")
    }
}

fn usable_cores() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count())
        .filter(|&core| set.is_set(core).unwrap_or(false))
        .collect()
}

pub(crate) fn client_core() -> usize {
    *usable_cores().last().unwrap()
}

/// Keeps this process on one core.
pub(crate) fn pin_self(core: usize) {
    let mut set = CpuSet::new();
    set.set(core).unwrap();
    sched_setaffinity(Pid::from_raw(0), &set).unwrap();
}
