use leno_proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource as WireResource};
use leno_proto::google::protobuf::Any;
use prost::Message;
use xxhash_rust::xxh64::xxh64;

use super::{CLIENT_KINDS, DeltaClient};
use crate::ResourceKind;
use crate::client::kind::{ClientKind, Held, decode};

/// First bytes of the file; the digit is the version of the format.
const MAGIC: &[u8; 8] = b"LENOXDS1";
/// `MAGIC`, then the hash of the rest, little endian.
const HEADER_BYTES: usize = 16;

/// Why a persisted state is not used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PersistError {
    #[error("the saved state is damaged (its checksum does not fit)")]
    Checksum,
    #[error("not a saved state of this version of leno")]
    Format,
    #[error("the saved state belongs to node {found}, not to {wanted}")]
    Node { found: String, wanted: String },
}

impl DeltaClient {
    /// What is accepted, as bytes for a file: header, then one length-delimited `DeltaDiscoveryResponse` per kind, whose
    /// `system_version_info` is the node's id.
    pub fn to_bytes(&self, node_id: &str) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        for (kind, state) in CLIENT_KINDS.into_iter().zip(self.all()) {
            // Writing to a `Vec` cannot run out of room.
            let _ = section(kind, state, node_id).encode_length_delimited(&mut bytes);
        }
        let hash = xxh64(bytes.get(HEADER_BYTES..).unwrap_or_default(), 0).to_le_bytes();
        for (to, from) in bytes.iter_mut().zip(MAGIC.iter().chain(&hash)) {
            *to = *from;
        }
        bytes
    }

    /// Takes over what [`DeltaClient::to_bytes`] has written. Returns how many resources no longer decode; they are
    /// left out and come again from the server.
    ///
    /// # Errors
    /// When the bytes are damaged or of another node; nothing is taken over then.
    pub fn restore(&mut self, bytes: &[u8], node_id: &str) -> Result<usize, PersistError> {
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(PersistError::Format)?;
        let (hash, mut payload) = rest.split_first_chunk::<8>().ok_or(PersistError::Format)?;
        if magic != MAGIC {
            return Err(PersistError::Format);
        }
        if u64::from_le_bytes(*hash) != xxh64(payload, 0) {
            return Err(PersistError::Checksum);
        }
        let mut sections = Vec::new();
        while !payload.is_empty() {
            let section =
                DeltaDiscoveryResponse::decode_length_delimited(&mut payload).map_err(|_| PersistError::Format)?;
            if section.system_version_info != node_id {
                return Err(PersistError::Node { found: section.system_version_info, wanted: node_id.to_owned() });
            }
            sections.push(section);
        }
        Ok(sections.into_iter().map(|section| self.restore_section(section)).sum())
    }

    fn restore_section(&mut self, section: DeltaDiscoveryResponse) -> usize {
        let kind = ResourceKind::from_type_url(&section.type_url);
        let Some((kind, state)) = kind.and_then(|kind| Some((kind, self.kind_mut(kind)?))) else {
            return section.resources.len();
        };
        let mut left_out = 0;
        for resource in section.resources {
            let name = resource.name.clone();
            match decode(kind, resource) {
                Ok(held) => state.restore(name, held),
                Err(_) => left_out += 1,
            }
        }
        left_out
    }
}

fn section(kind: ResourceKind, state: &ClientKind, node_id: &str) -> DeltaDiscoveryResponse {
    let wire = |(name, held): (&String, &Held)| WireResource {
        name: name.clone(),
        version: held.version.clone(),
        resource: Some(Any { type_url: kind.type_url().to_owned(), value: held.body.clone() }),
        ..WireResource::default()
    };
    DeltaDiscoveryResponse {
        system_version_info: node_id.to_owned(),
        type_url: kind.type_url().to_owned(),
        resources: state.accepted().map(wire).collect(),
        ..DeltaDiscoveryResponse::default()
    }
}
