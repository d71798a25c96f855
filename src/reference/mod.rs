//! The reference inference API (`bench serve`): a small but real service, with the surface of a GPU
//! inference platform, that knows the truth about itself and can be told to misbehave.
//!
//! It knows nothing of the load that is sent to it. Users log in as `bench` with the password
//! `bench`; the model is [`MODEL`].

mod api;
mod backend;
mod books;
mod choice;
mod compute;
mod cuda;
mod jobs;
mod memory;
mod metrics;
mod misbehaviour;
mod model;
mod no_model;
mod null;
mod queue;
mod route;
mod service;
#[cfg(test)]
mod tests;
mod text;
mod timer;
mod token;
mod wide;
mod workers;

pub use api::TOKEN_INTERVAL;
pub use books::{Delays, Scaled, ServerTime, StallWindow, TRUTH_SCHEMA, Truth};
pub use compute::Compute;
pub use memory::{Dialer, MemoryListener, in_memory};
pub use model::{Answer, CLASSES, INPUTS, MODEL, PARAMETERS, answer, data_file};
pub use null::start_null;

use crate::scenario::ReferenceOptions;
use axum::Router;
use axum::serve::{Listener, ListenerExt};
use backend::Placement;
use service::Service;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

/// A reference server: its backend runs from its start until the last handle and router are gone.
#[derive(Clone)]
pub struct Server {
    service: Arc<Service>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// Starts a server that computes on the CPU, whatever the options say, in a thread of its own.
    ///
    /// # Panics
    /// When the system cannot start one more thread.
    pub fn start(options: &ReferenceOptions) -> Self {
        Self::start_on(options, Compute::cpu())
    }

    /// Starts a server on what was opened for it, with a thread of its own for each worker.
    ///
    /// # Panics
    /// When the system cannot start one more thread.
    pub fn start_on(options: &ReferenceOptions, compute: Compute) -> Self {
        Self::start_in(options, compute, Placement::Thread)
    }

    /// Starts a server that computes on the CPU, as a task of the current runtime. On a runtime with a paused
    /// clock the whole service then runs in virtual time; elsewhere its steps are rounded up to
    /// whole milliseconds.
    ///
    /// # Panics
    /// When there is no runtime.
    pub fn start_on_runtime(options: &ReferenceOptions) -> Self {
        Self::start_in(options, Compute::cpu(), Placement::Runtime)
    }

    fn start_in(options: &ReferenceOptions, compute: Compute, placement: Placement) -> Self {
        Self {
            service: Arc::new(Service::start(options, compute, placement)),
        }
    }

    /// The routes.
    pub fn router(&self) -> Router {
        api::router(&self.service)
    }

    /// What the server has done up to now.
    pub fn truth(&self) -> Truth {
        self.service.truth()
    }
}

/// How many connections may wait to be accepted. The kernel cuts it to `net.core.somaxconn`, which
/// is 4096 on Linux unless somebody changed it.
const BACKLOG: u32 = 4096;
/// How long requests may take to end after a shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// Binds a listener for [`serve`] with room for a thousand clients that connect at once, which is
/// what the first moment of a load looks like. (`TcpListener::bind` would ask for 1024.) Must be
/// called on a runtime.
///
/// # Errors
/// When the address is taken or not this machine's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Or a server could not come back to its port for a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves a TCP listener until `shutdown` completes and the requests in flight are answered, or
/// five seconds have passed since. Answers leave at once (`TCP_NODELAY`).
///
/// A current-thread runtime serves it best: the work for one request is so small that handing it
/// from thread to thread costs more than it gains, and the backend has a thread of its own. On two
/// cores, shared with the generator, such a server answers 1000 connections at the 16 000 requests
/// per second that its default batches allow; with one worker per core it falls short of that.
///
/// # Errors
/// None today: a connection that fails is that connection's end, and when no more can be accepted
/// the server tries again a second later.
pub async fn serve(
    server: &Server,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = listener.tap_io(|stream: &mut TcpStream| {
        // It fails when the client is gone already.
        let _ = stream.set_nodelay(true);
    });
    serve_on(server, listener, shutdown).await
}

/// Serves any listener, such as [`in_memory`], like [`serve`].
///
/// # Errors
/// As [`serve`].
pub async fn serve_on<L>(
    server: &Server,
    listener: L,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()>
where
    L: Listener,
    L::Addr: fmt::Debug,
{
    let (ending, ended) = oneshot::channel();
    let serving = axum::serve(listener, server.router()).with_graceful_shutdown(async move {
        shutdown.await;
        let _ = ending.send(());
    });
    tokio::select! {
        result = serving => result,
        // A client that never finishes its request must not keep the server for ever.
        () = async {
            let _ = ended.await;
            tokio::time::sleep(GRACE).await;
        } => Ok(()),
    }
}
