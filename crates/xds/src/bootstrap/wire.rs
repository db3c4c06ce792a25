use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::MessageDescriptor;

/// A message in the wire format, of which single fields are looked at.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    descriptor: MessageDescriptor,
    bytes: Bytes,
}

impl Wire {
    pub(super) fn new(descriptor: MessageDescriptor, bytes: Vec<u8>) -> Self {
        Self { descriptor, bytes: bytes.into() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The message in a field; `None` when it is not there.
    pub(super) fn part(&self, field: &str) -> Option<Self> {
        self.parts(field).pop()
    }

    /// The messages in a field.
    pub(super) fn parts(&self, field: &str) -> Vec<Self> {
        let Some(field) = self.descriptor.get_field_by_name(field) else { return Vec::new() };
        let Some(descriptor) = field.kind().as_message().cloned() else { return Vec::new() };
        let parts = self.delimited(field.number()).into_iter();
        parts.map(|bytes| Self { descriptor: descriptor.clone(), bytes }).collect()
    }

    /// The text in a field; empty when it is not there.
    pub(super) fn text(&self, field: &str) -> String {
        let field = self.descriptor.get_field_by_name(field);
        let bytes = field.and_then(|field| self.delimited(field.number()).pop()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn delimited(&self, wanted: u32) -> Vec<Bytes> {
        let mut found = Vec::new();
        let mut rest = self.bytes.clone();
        // We wrote it ourselves, so nothing in it is broken.
        while let Ok((number, kind)) = decode_key(&mut rest) {
            if number == wanted && kind == WireType::LengthDelimited {
                let length = decode_varint(&mut rest).ok().and_then(|length| usize::try_from(length).ok());
                let Some(length) = length.filter(|length| *length <= rest.remaining()) else { break };
                found.push(rest.split_to(length));
            } else if skip_field(kind, number, &mut rest, DecodeContext::default()).is_err() {
                break;
            }
        }
        found
    }
}
