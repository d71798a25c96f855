//! When the kernel received bytes: `SO_TIMESTAMPNS` (socket(7)).
//!
//! The time at which this program reads an answer contains the time that the answer waited for it. The
//! kernel's stamp does not: it tells the server's time from the client's own queue. Stamps are of the
//! wall clock. Once in a millisecond both clocks are looked at together, and a stamp is placed on the monotonic
//! one by its distance from that look: a wall clock that is adjusted takes the monotonic one along
//! (`clock_gettime(2)`), so that only one that is set within that millisecond, or between arrival and read,
//! could spoil a stamp. Set by more than the latency, it puts the stamp before its request or after its
//! read, and such a stamp is not believed.

use super::answer::Arrival;
use super::stream::{Receipt, WallTime};
use crate::engine::ports::RunClock;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use rustix::net::SendFlags;
use rustix::time::{ClockId, clock_gettime};
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::TcpStream;

thread_local! {
    /// Room for the one control message of a read.
    static CONTROL: RefCell<Vec<u8>> = RefCell::new(nix::cmsg_space!(TimeSpec));
    /// The last time at which both clocks were looked at together.
    static BOTH_CLOCKS: Cell<Option<Moment>> = const { Cell::new(None) };
}

/// Has the kernel stamp what a socket receives; whether it does.
pub(super) fn enable(stream: &TcpStream) -> bool {
    setsockopt(stream, sockopt::ReceiveTimestampns, &true).is_ok()
}

/// Reads what is there, with the kernel's stamp of the last of it.
pub(super) fn poll_receive(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<Receipt>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let mut received = None;
        let tried = stream.try_io(Interest::READABLE, || {
            let receipt = receive(stream, buffer)?;
            let bytes = receipt.bytes;
            received = Some(receipt);
            // A read that did not fill the buffer has emptied the socket. Said this way, the runtime
            // waits for the next event at once, instead of asking a second time in vain.
            if 0 < bytes && bytes < buffer.len() {
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        if let Some(receipt) = received {
            return Poll::Ready(Ok(receipt));
        }
        match tried {
            Err(error)
                if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Poll::Ready(Err(error));
            }
            _ => {}
        }
    }
}

/// Writes what the socket takes. By the system call itself: the C library's would prepare each time for the
/// cancellation of the thread.
pub(super) fn poll_send(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        // Registers nobody while there is room, as there nearly always is.
        let sent = stream.try_io(Interest::WRITABLE, || {
            Ok(rustix::net::send(&*stream, bytes, SendFlags::NOSIGNAL)?)
        });
        match sent {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                ready!(stream.poll_write_ready(cx))?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            sent => return Poll::Ready(sent),
        }
    }
}

fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Receipt> {
    CONTROL.with_borrow_mut(|control| {
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<()>(
            stream.as_raw_fd(),
            &mut slices,
            Some(control),
            MsgFlags::empty(),
        )?;
        let stamp = message.cmsgs().ok().and_then(|mut messages| {
            messages.find_map(|message| match message {
                ControlMessageOwned::ScmTimestampns(stamp) => {
                    wall_time(stamp.tv_sec(), stamp.tv_nsec())
                }
                _ => None,
            })
        });
        Ok(Receipt {
            bytes: message.bytes,
            stamp,
        })
    })
}

/// Now, and when the kernel had received on the same clock what it stamped.
pub(super) fn arrival(stamp: Option<WallTime>, clock: RunClock) -> Arrival {
    let read_ns = clock.now_ns();
    let kernel_ns = stamp.and_then(|stamp| {
        let origin_ns = clock.origin_of_kernel_ns()?;
        let monotonic_ns = || origin_ns + clock.now_ns();
        let Moment { monotonic, wall } = both_clocks(origin_ns + read_ns, monotonic_ns)?;
        let kernel_ns = (stamp + monotonic)
            .checked_sub(wall)?
            .checked_sub(origin_ns)?;
        (kernel_ns <= read_ns).then_some(kernel_ns)
    });
    Arrival { read_ns, kernel_ns }
}

/// One moment on both clocks, a short while ago; `None` while they cannot be looked at together.
fn both_clocks(now: u64, monotonic_ns: impl Fn() -> u64) -> Option<Moment> {
    /// For so long one look at both clocks holds.
    const HOLDS_NS: u64 = 1_000_000;
    let known = BOTH_CLOCKS.get();
    if known.is_some_and(|moment| now < moment.monotonic + HOLDS_NS) {
        return known;
    }
    let mut before = now;
    let moment = Moment::of(std::iter::from_fn(|| {
        let wall = clock_gettime(ClockId::Realtime);
        let wall = wall_time(wall.tv_sec, wall.tv_nsec)?;
        let after = monotonic_ns();
        let look = Look {
            before,
            wall,
            after,
        };
        before = after;
        Some(look)
    }));
    BOTH_CLOCKS.set(moment);
    moment
}

fn wall_time(seconds: i64, nanoseconds: i64) -> Option<WallTime> {
    let seconds = u64::try_from(seconds).ok()?;
    Some(seconds * 1_000_000_000 + u64::try_from(nanoseconds).ok()?)
}

/// The same moment on both clocks, in nanoseconds since the start of the machine and since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moment {
    monotonic: u64,
    wall: WallTime,
}

/// The wall clock, read between two looks at the monotonic one.
struct Look {
    before: u64,
    wall: WallTime,
    after: u64,
}

impl Moment {
    /// What the narrowest of a few looks tells, half of whose width it can be off by. One that was
    /// interrupted is wide; where all are too wide, nothing is told.
    fn of(looks: impl Iterator<Item = Look>) -> Option<Self> {
        const MOST: usize = 3;
        /// Two clocks that are read one after the other are not further apart.
        const UNINTERRUPTED_NS: u64 = 1_000;
        /// Clocks that only the system can read are slower.
        const WIDEST_NS: u64 = 10_000;
        let mut narrowest: Option<(u64, Self)> = None;
        for look in looks.take(MOST) {
            let width_ns = look.after.saturating_sub(look.before);
            if narrowest.is_none_or(|(known, _)| width_ns < known) {
                let moment = Self {
                    monotonic: look.before + width_ns / 2,
                    wall: look.wall,
                };
                narrowest = Some((width_ns, moment));
            }
            if width_ns < UNINTERRUPTED_NS {
                break;
            }
        }
        narrowest
            .filter(|&(width_ns, _)| width_ns < WIDEST_NS)
            .map(|(_, moment)| moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: u64 = 7_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    /// Looks of these widths in microseconds, at a wall clock that counts them.
    fn looks(widths: &[u64]) -> impl Iterator<Item = Look> {
        let mut before = BEGIN;
        (1..).zip(widths).map(move |(number, &width)| {
            let look = Look {
                before,
                wall: number * SECOND,
                after: before + width * 1_000,
            };
            before = look.after;
            look
        })
    }

    #[test]
    fn the_narrowest_look_at_both_clocks_counts_and_none_that_is_wide() {
        let moment = |after_us: u64, number: u64| {
            Some(Moment {
                monotonic: BEGIN + after_us * 1_000,
                wall: number * SECOND,
            })
        };
        let of = |widths: &[u64]| Moment::of(looks(widths));
        // The first one that nothing came between is enough.
        assert_eq!(of(&[0, 0]), moment(0, 1));
        assert_eq!(of(&[5000, 0, 0]), moment(5000, 2));
        // None of a slow clock is that narrow.
        assert_eq!(of(&[8, 4, 6]), moment(10, 2));
        // Each was interrupted: a stamp would be off by no one knows how much.
        assert_eq!(of(&[10, 5000, 12]), None);
        // It does not go on for ever.
        assert_eq!(of(&[100, 100, 100, 0]), None);
        assert_eq!(of(&[]), None);
    }
}
