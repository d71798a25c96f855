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
use super::stream::Receipt;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use rustix::net::SendFlags;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

thread_local! {
    /// Room for the one control message of a read.
    static CONTROL: RefCell<Vec<u8>> = RefCell::new(nix::cmsg_space!(TimeSpec));
    /// The last time at which both clocks were looked at, on each of them.
    static BOTH_CLOCKS: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
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
            let (bytes, stamp) = receive(stream, buffer)?;
            received = Some((bytes, stamp));
            // A read that did not fill the buffer has emptied the socket. Said this way, the runtime
            // waits for the next event at once, instead of asking a second time in vain.
            if 0 < bytes && bytes < buffer.len() {
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        if let Some((bytes, stamp)) = received {
            let at = arrival(stamp);
            return Poll::Ready(Ok(Receipt { bytes, at }));
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

fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Option<TimeSpec>)> {
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
                ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
                _ => None,
            })
        });
        Ok((message.bytes, stamp))
    })
}

/// Now, and when the kernel had it on the same clock.
fn arrival(stamp: Option<TimeSpec>) -> Arrival {
    let read = Instant::now();
    let kernel = stamp.map(Duration::from).and_then(|stamp| {
        let (at, wall) = both_clocks(read)?;
        let since = stamp.saturating_sub(wall);
        let kernel = at.checked_sub(wall.saturating_sub(stamp))? + since;
        (kernel <= read).then_some(kernel)
    });
    Arrival { read, kernel }
}

/// One moment on both clocks, a short while ago.
fn both_clocks(now: Instant) -> Option<(Instant, Duration)> {
    /// For so long one look at both clocks holds.
    const HOLDS: Duration = Duration::from_millis(1);
    /// Two looks that lie further apart were interrupted: not to be relied on again.
    const UNINTERRUPTED: Duration = Duration::from_micros(1);
    let known = BOTH_CLOCKS.get();
    if known.is_some_and(|(at, _)| now < at + HOLDS) {
        return known;
    }
    let wall = clock_gettime(ClockId::CLOCK_REALTIME).ok()?;
    let took = now.elapsed();
    let both = Some((now + took / 2, Duration::from(wall)));
    if took < UNINTERRUPTED {
        BOTH_CLOCKS.set(both);
    }
    both
}
