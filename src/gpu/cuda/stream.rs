//! Streams of work, events that note when a stream came by, and recorded work.
#![expect(unsafe_code, reason = "calls of the CUDA driver")]

use super::device::Device;
use super::library::{CudaError, Handle, call};
use std::time::Duration;

/// Work in order.
pub struct Stream {
    device: Device,
    handle: Handle,
}

/// Does not wait for the device's default stream.
const NON_BLOCKING: u32 = 1;

// SAFETY: a stream may be used from any thread whose context is the device's.
unsafe impl Send for Stream {}

impl Stream {
    /// A new one.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn new(device: &Device) -> Result<Self, CudaError> {
        let mut handle: Handle = std::ptr::null_mut();
        call!(
            device.functions(),
            cuStreamCreate(&raw mut handle, NON_BLOCKING)
        )?;
        Ok(Self {
            device: device.clone(),
            handle,
        })
    }

    /// Waits until all of its work is done.
    ///
    /// # Errors
    /// When something of it failed.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        call!(self.device.functions(), cuStreamSynchronize(self.handle))
    }

    /// Later work of this stream waits for the event.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn wait_for(&self, event: &Event) -> Result<(), CudaError> {
        call!(
            self.device.functions(),
            cuStreamWaitEvent(self.handle, event.handle, 0)
        )
    }

    /// Records the work that `enqueue` sends to this stream, instead of doing it.
    ///
    /// # Errors
    /// What `enqueue` says, or the driver.
    pub fn record(
        &self,
        enqueue: impl FnOnce() -> Result<(), CudaError>,
    ) -> Result<Graph, CudaError> {
        const THREAD_LOCAL: i32 = 1;
        let functions = self.device.functions();
        call!(
            functions,
            cuStreamBeginCapture_v2(self.handle, THREAD_LOCAL)
        )?;
        let enqueued = enqueue();
        let mut graph: Handle = std::ptr::null_mut();
        let ended = call!(functions, cuStreamEndCapture(self.handle, &raw mut graph));
        enqueued.and(ended)?;
        let mut handle: Handle = std::ptr::null_mut();
        let made = call!(
            functions,
            cuGraphInstantiateWithFlags(&raw mut handle, graph, 0)
        );
        let _ = call!(functions, cuGraphDestroy(graph));
        made?;
        Ok(Graph {
            device: self.device.clone(),
            handle,
        })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = call!(self.device.functions(), cuStreamDestroy_v2(self.handle));
    }
}

/// A moment in a stream.
pub struct Event {
    device: Device,
    handle: Handle,
}

// SAFETY: as streams.
unsafe impl Send for Event {}

impl Event {
    /// A new one.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn new(device: &Device) -> Result<Self, CudaError> {
        let mut handle: Handle = std::ptr::null_mut();
        call!(device.functions(), cuEventCreate(&raw mut handle, 0))?;
        Ok(Self {
            device: device.clone(),
            handle,
        })
    }

    /// Notes the moment at which the stream gets here.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        call!(
            self.device.functions(),
            cuEventRecord(self.handle, stream.handle())
        )
    }

    /// Waits until the stream was here, and says how long after the other event that was, to half a
    /// microsecond.
    ///
    /// # Errors
    /// When work in between failed.
    pub fn since(&self, earlier: &Self) -> Result<Duration, CudaError> {
        let functions = self.device.functions();
        call!(functions, cuEventSynchronize(self.handle))?;
        let mut milliseconds = 0.0;
        call!(
            functions,
            cuEventElapsedTime(&raw mut milliseconds, earlier.handle, self.handle)
        )?;
        Ok(Duration::from_secs_f64(
            f64::from(milliseconds.max(0.0)) / 1e3,
        ))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = call!(self.device.functions(), cuEventDestroy_v2(self.handle));
    }
}

/// Recorded work that is launched as one.
pub struct Graph {
    device: Device,
    handle: Handle,
}

impl Graph {
    /// Sends all of it to a stream.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn launch(&self, stream: &Stream) -> Result<(), CudaError> {
        call!(
            self.device.functions(),
            cuGraphLaunch(self.handle, stream.handle())
        )
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = call!(self.device.functions(), cuGraphExecDestroy(self.handle));
    }
}
