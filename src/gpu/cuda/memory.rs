//! Memory of a device, and pinned memory of the host. Each frees itself.
#![expect(
    unsafe_code,
    reason = "calls of the CUDA driver, and memory that it gives"
)]

use super::device::Device;
use super::library::{CudaError, Handle, call};
use super::stream::Stream;

/// Memory of a device.
pub struct Buffer {
    device: Device,
    address: u64,
    bytes: usize,
}

impl Buffer {
    /// Takes so many bytes, whose contents are undefined.
    ///
    /// # Errors
    /// When the device has no more, or is gone.
    pub fn new(device: &Device, bytes: usize) -> Result<Self, CudaError> {
        let mut address = 0;
        call!(device.functions(), cuMemAlloc_v2(&raw mut address, bytes))?;
        Ok(Self {
            device: device.clone(),
            address,
            bytes,
        })
    }

    /// Takes memory with these contents.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn of(device: &Device, stream: &Stream, contents: &[u8]) -> Result<Self, CudaError> {
        let buffer = Self::new(device, contents.len())?;
        buffer.write(stream, contents)?;
        stream.synchronize()?;
        Ok(buffer)
    }

    /// Its address on the device.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Copies from the host; at most as much as there is room for. Memory that is not pinned is copied
    /// by the driver before this returns, or while it waits.
    ///
    /// # Errors
    /// When the device is gone, or earlier work failed.
    pub fn write(&self, stream: &Stream, from: &[u8]) -> Result<(), CudaError> {
        self.write_at(stream, 0, from)
    }

    /// The same to a place within it.
    ///
    /// # Errors
    /// As [`Buffer::write`].
    pub fn write_at(&self, stream: &Stream, offset: usize, from: &[u8]) -> Result<(), CudaError> {
        let bytes = from.len().min(self.bytes.saturating_sub(offset));
        let to = self.address + offset as u64;
        call!(
            self.device.functions(),
            cuMemcpyHtoDAsync_v2(to, from.as_ptr().cast(), bytes, stream.handle())
        )
    }

    /// Copies to the host; the contents are there when the stream has been waited for.
    ///
    /// # Errors
    /// As [`Buffer::write`].
    pub fn read(&self, stream: &Stream, to: &mut [u8]) -> Result<(), CudaError> {
        self.read_at(stream, 0, to)
    }

    /// The same from a place within it.
    ///
    /// # Errors
    /// As [`Buffer::write`].
    pub fn read_at(&self, stream: &Stream, offset: usize, to: &mut [u8]) -> Result<(), CudaError> {
        let bytes = to.len().min(self.bytes.saturating_sub(offset));
        let from = self.address + offset as u64;
        call!(
            self.device.functions(),
            cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), from, bytes, stream.handle())
        )
    }

    /// Copies everything to the host and waits for it.
    ///
    /// # Errors
    /// As [`Buffer::write`].
    pub fn contents(&self, stream: &Stream) -> Result<Vec<u8>, CudaError> {
        let mut contents = vec![0; self.bytes];
        self.read(stream, &mut contents)?;
        stream.synchronize()?;
        Ok(contents)
    }

    /// Sets every byte to 0.
    ///
    /// # Errors
    /// As [`Buffer::write`].
    pub fn clear(&self, stream: &Stream) -> Result<(), CudaError> {
        let handle = stream.handle();
        call!(
            self.device.functions(),
            cuMemsetD8Async(self.address, 0, self.bytes, handle)
        )
    }

    /// Copies from memory of another device.
    ///
    /// # Errors
    /// When either device is gone.
    pub fn copy_from(&self, stream: &Stream, from: &Self) -> Result<(), CudaError> {
        let bytes = self.bytes.min(from.bytes);
        let (to_device, from_device) = (self.device.context.handle, from.device.context.handle);
        call!(
            self.device.functions(),
            cuMemcpyPeerAsync(
                self.address,
                to_device,
                from.address,
                from_device,
                bytes,
                stream.handle()
            )
        )
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // A device that is gone has freed it already.
        let _ = call!(self.device.functions(), cuMemFree_v2(self.address));
    }
}

/// Memory of the host that the device can read and write by itself.
pub struct HostBuffer {
    device: Device,
    start: Handle,
    bytes: usize,
}

// SAFETY: it is plain memory, owned by this value alone.
unsafe impl Send for HostBuffer {}

impl HostBuffer {
    /// Takes so many bytes, all 0.
    ///
    /// # Errors
    /// When the host has no more memory that can be pinned.
    pub fn new(device: &Device, bytes: usize) -> Result<Self, CudaError> {
        let mut start: Handle = std::ptr::null_mut();
        call!(device.functions(), cuMemHostAlloc(&raw mut start, bytes, 0))?;
        // SAFETY: the driver has just given this much.
        unsafe { start.cast::<u8>().write_bytes(0, bytes) };
        Ok(Self {
            device: device.clone(),
            start,
            bytes,
        })
    }

    /// The contents.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are there, initialized, and owned by this value.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.bytes) }
    }

    /// The contents, to be changed. Wait for copies first.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.bytes) }
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        let _ = call!(self.device.functions(), cuMemFreeHost(self.start));
    }
}
