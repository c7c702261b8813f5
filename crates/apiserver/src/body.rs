//! Response bodies: whole, a list assembled from stored bytes, or a stream without an end.
//!
//! Invariant: a list shares the bytes the store holds until the moment they are copied into a frame; nothing is encoded
//! again and nothing larger than a frame is allocated.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{BoxStream, StreamExt};
use hyper::body::{Body, Frame, SizeHint};

/// Frames of a list are about this large.
const LIST_FRAME_BYTES: usize = 256 * 1024;

/// Body of every answer of this server.
pub(crate) struct ResponseBody {
    content: Content,
    /// Dropped when the body was sent or nobody wants it any more.
    #[expect(dead_code, reason = "held, not read")]
    guard: Option<Box<dyn Any + Send>>,
}

enum Content {
    Whole(Option<Bytes>),
    Pieces(Pieces),
    Stream(BoxStream<'static, Result<Bytes, std::io::Error>>),
}

/// Bytes that follow each other in one body.
struct Pieces {
    pieces: std::vec::IntoIter<Bytes>,
    left: u64,
}

impl ResponseBody {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::of(Content::Whole(Some(bytes.into())))
    }

    pub(crate) fn pieces(pieces: Vec<Bytes>) -> Self {
        let left = pieces.iter().map(|p| p.len() as u64).sum();
        Self::of(Content::Pieces(Pieces { pieces: pieces.into_iter(), left }))
    }

    pub(crate) fn stream(stream: BoxStream<'static, Result<Bytes, std::io::Error>>) -> Self {
        Self::of(Content::Stream(stream))
    }

    fn of(content: Content) -> Self {
        Self { content, guard: None }
    }

    /// Holds the guard for as long as the body is there.
    pub(crate) fn guarded(self, guard: impl Send + 'static) -> Self {
        Self { guard: Some(Box::new(guard)), ..self }
    }

    /// Length, unless this is a stream.
    pub(crate) fn exact_len(&self) -> Option<u64> {
        match &self.content {
            Content::Whole(bytes) => Some(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Content::Pieces(pieces) => Some(pieces.left),
            Content::Stream(_) => None,
        }
    }

    /// All bytes of a body that is not a stream; a stream comes back unchanged.
    pub(crate) fn into_chunks(self) -> Result<Vec<Bytes>, Self> {
        match self.content {
            Content::Whole(bytes) => Ok(bytes.into_iter().collect()),
            Content::Pieces(pieces) => Ok(pieces.pieces.collect()),
            Content::Stream(_) => Err(self),
        }
    }
}

impl Pieces {
    fn next_frame(&mut self) -> Option<Bytes> {
        let first = self.pieces.next()?;
        if first.len() >= LIST_FRAME_BYTES || self.pieces.as_slice().is_empty() {
            self.left -= first.len() as u64;
            return Some(first);
        }
        let capacity = usize::try_from(self.left).unwrap_or(usize::MAX).min(LIST_FRAME_BYTES + first.len());
        let mut frame = BytesMut::with_capacity(capacity);
        frame.put(first);
        while let Some(next) = self.pieces.as_slice().first() {
            if frame.len() + next.len() > LIST_FRAME_BYTES {
                break;
            }
            frame.put_slice(next);
            self.pieces.next();
        }
        self.left -= frame.len() as u64;
        Some(frame.freeze())
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Content::Pieces(pieces) => Poll::Ready(pieces.next_frame().map(|b| Ok(Frame::data(b)))),
            Content::Stream(stream) => {
                stream.poll_next_unpin(cx).map(|next| next.map(|r| r.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Pieces(pieces) => pieces.pieces.as_slice().is_empty(),
            Content::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.exact_len().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_keep_order_and_length() {
        let pieces: Vec<Bytes> = (0..5000).map(|n| Bytes::from(format!("[{n}]").repeat(40))).collect();
        let want: Vec<u8> = pieces.concat();
        let body = ResponseBody::pieces(pieces);
        assert_eq!(body.exact_len(), Some(want.len() as u64));
        assert_eq!(body.collect().await.unwrap().to_bytes(), want);
    }

    #[tokio::test]
    async fn a_piece_larger_than_a_frame_passes() {
        let large = Bytes::from(vec![b'x'; LIST_FRAME_BYTES * 2]);
        let body =
            ResponseBody::pieces(vec![Bytes::from_static(b"["), large.clone(), Bytes::from_static(b"]")]);
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), large.len() + 2);
    }
}
