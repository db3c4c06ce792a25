//! One message of gRPC in its frame (gRPC over HTTP/2, "Length-Prefixed-Message"); never compressed.

use bytes::{BufMut, Bytes, BytesMut};

const HEAD_BYTES: usize = 5;

pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(HEAD_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// The message that is all of `body`. `None`: it is compressed, or not as long as it says.
pub(crate) fn message_of(body: &[u8]) -> Option<&[u8]> {
    let (head, message) = body.split_at_checked(HEAD_BYTES)?;
    let [0, length @ ..] = head else { return None };
    let length = length.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
    (message.len() == length).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_framed_is_read_back_and_anything_else_is_not() {
        assert_eq!(frame(b"ab").as_ref(), [0, 0, 0, 0, 2, b'a', b'b']);
        assert_eq!(message_of(&frame(b"ab")), Some(&b"ab"[..]));
        assert_eq!(message_of(&frame(b"")), Some(&b""[..]));
        for other in [&b""[..], &[0, 0, 0, 0], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 2, 1], &[0, 0, 0, 0, 0, 1]] {
            assert_eq!(message_of(other), None, "{other:?}");
        }
    }
}
