//! Where the time of requests went on their way, step by step.

use super::latencies::{Distribution, Latencies};
use super::packed::PackedLatencies;
use serde::{Deserialize, Serialize};

/// How long the steps took. Each histogram counts the times that its step occurred: a kept connection
/// is opened once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Steps<H = Latencies> {
    /// Resolving the target's name.
    pub dns: H,
    /// Opening a TCP connection.
    pub tcp: H,
    /// Agreeing on TLS.
    pub tls: H,
    /// First byte of the request handed to the network → last one.
    pub send: H,
    /// Last byte of the request handed over → first byte of the answer read.
    pub wait: H,
    /// First byte of the answer read → last one.
    pub transfer: H,
    /// Last byte of the answer received by the kernel → read by this program: the part of a latency
    /// that is the generator's own. Empty where the kernel does not tell.
    pub client_queue: H,
}

/// The steps of one request; `None` for those that did not occur, or are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// Resolving the target's name, in nanoseconds.
    pub dns_ns: Option<u64>,
    /// Opening a TCP connection, in nanoseconds.
    pub tcp_ns: Option<u64>,
    /// Agreeing on TLS, in nanoseconds.
    pub tls_ns: Option<u64>,
    /// Handing over the request, in nanoseconds.
    pub send_ns: Option<u64>,
    /// Awaiting the first byte of the answer, in nanoseconds.
    pub wait_ns: Option<u64>,
    /// From the first byte of the answer to the last one, in nanoseconds.
    pub transfer_ns: Option<u64>,
    /// How long the end of the answer waited in the kernel, in nanoseconds.
    pub client_queue_ns: Option<u64>,
}

impl Steps {
    /// Counts the steps of one request.
    pub fn record(&mut self, times: &StepTimes) {
        let count = |histogram: &mut Latencies, time_ns: Option<u64>| {
            if let Some(time_ns) = time_ns {
                histogram.record(time_ns);
            }
        };
        count(&mut self.dns, times.dns_ns);
        count(&mut self.tcp, times.tcp_ns);
        count(&mut self.tls, times.tls_ns);
        count(&mut self.send, times.send_ns);
        count(&mut self.wait, times.wait_ns);
        count(&mut self.transfer, times.transfer_ns);
        count(&mut self.client_queue, times.client_queue_ns);
    }

    /// Adds the steps of other requests.
    pub fn merge(&mut self, other: &Steps<impl Distribution>) {
        self.dns.merge(&other.dns);
        self.tcp.merge(&other.tcp);
        self.tls.merge(&other.tls);
        self.send.merge(&other.send);
        self.wait.merge(&other.wait);
        self.transfer.merge(&other.transfer);
        self.client_queue.merge(&other.client_queue);
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self) {
        for histogram in [
            &mut self.dns,
            &mut self.tcp,
            &mut self.tls,
            &mut self.send,
            &mut self.wait,
            &mut self.transfer,
            &mut self.client_queue,
        ] {
            histogram.reset();
        }
    }

    /// The same at rest.
    pub fn pack(&self) -> Steps<PackedLatencies> {
        Steps {
            dns: self.dns.pack(),
            tcp: self.tcp.pack(),
            tls: self.tls.pack(),
            send: self.send.pack(),
            wait: self.wait.pack(),
            transfer: self.transfer.pack(),
            client_queue: self.client_queue.pack(),
        }
    }
}

impl<H: Distribution> Steps<H> {
    /// Whose clock tells when answers came.
    pub fn receive_stamps(&self) -> ReceiveStamps {
        if self.client_queue.is_empty() {
            ReceiveStamps::Program
        } else {
            ReceiveStamps::Kernel
        }
    }
}

/// Whose stamps end the service time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiveStamps {
    /// The kernel's: service time does not contain the client's own queue.
    Kernel,
    /// This program's, because the platform or what carries the bytes has no others: service time
    /// contains the client's own queue.
    Program,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_did_not_occur_is_not_counted() {
        let mut steps = Steps::default();
        steps.record(&StepTimes {
            send_ns: Some(5_000),
            wait_ns: Some(2_000_000),
            ..StepTimes::default()
        });
        assert_eq!((steps.send.count(), steps.tls.count()), (1, 0));
        assert_eq!(steps.receive_stamps(), ReceiveStamps::Program);
        steps.record(&StepTimes {
            client_queue_ns: Some(1_000),
            ..StepTimes::default()
        });
        assert_eq!(steps.receive_stamps(), ReceiveStamps::Kernel);
        let mut twice = Steps::default();
        twice.merge(&steps.pack());
        twice.merge(&steps);
        assert_eq!(twice.wait.count(), 2);
        twice.reset();
        assert!(twice.wait.is_empty() && twice.client_queue.is_empty());
    }
}
