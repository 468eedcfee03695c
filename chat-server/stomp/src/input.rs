//! Input buffer: received bytes that are not frames yet.

use bytes::{Buf, Bytes, BytesMut};

/// The bytes at the front of a stream, as one slice.
///
/// Either a received chunk as it is, or, once a frame is split over chunks, a buffer of its own.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// The start of a frame that did not arrive in one piece.
    pending: BytesMut,
    /// The received chunk; used only while `pending` is empty.
    chunk: Bytes,
}

impl Input {
    pub(crate) fn data(&self) -> &[u8] {
        if self.pending.is_empty() {
            &self.chunk
        } else {
            &self.pending
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.data().len()
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        if self.data().is_empty() {
            self.chunk = bytes;
        } else {
            self.unite();
            self.pending.extend_from_slice(&bytes);
        }
    }

    pub(crate) fn drop_front(&mut self, count: usize) {
        if self.pending.is_empty() {
            self.chunk.advance(count);
        } else {
            self.pending.advance(count);
        }
    }

    /// Cuts `count` bytes off the front, without a copy.
    pub(crate) fn cut_front(&mut self, count: usize) -> Bytes {
        if self.pending.is_empty() {
            self.chunk.split_to(count)
        } else {
            self.pending.split_to(count).freeze()
        }
    }

    /// Moves the rest of a chunk into the buffer, so that the chunk's memory is free again. An
    /// empty input then holds no memory at all, which is what idle connections have.
    pub(crate) fn unite(&mut self) {
        if !self.chunk.is_empty() {
            self.pending.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
        } else if self.pending.is_empty() {
            *self = Self::default();
        }
    }
}
