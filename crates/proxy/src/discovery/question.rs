use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::dns::forward;

/// What a name server said to one question.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) addresses: Vec<IpAddr>,
    /// The shortest of the records; zero without any.
    pub(super) ttl: Duration,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum QuestionError {
    #[error("the name server answers {0}")]
    Code(ResponseCode),
    #[error("the name server cannot be asked: {0}")]
    Io(#[from] io::Error),
    #[error("the name server answers with something else")]
    Malformed,
}

/// Asks once; over TCP too when an answer does not fit a datagram. That there is no such name, or no such record, is a
/// reply without addresses.
pub(super) async fn ask(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    over_tcp: bool,
) -> Result<Reply, QuestionError> {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let query = message.to_vec().map_err(|_| QuestionError::Malformed)?;
    let mut reply =
        if over_tcp { forward::over_tcp(server, &query).await? } else { forward::over_udp(server, &query).await? };
    let parse = |bytes: &[u8]| Message::from_vec(bytes).map_err(|_| QuestionError::Malformed);
    let mut answer = parse(&reply)?;
    if answer.metadata.truncation && !over_tcp {
        reply = forward::over_tcp(server, &query).await?;
        answer = parse(&reply)?;
    }
    if answer.metadata.message_type != MessageType::Response {
        return Err(QuestionError::Malformed);
    }
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        code => return Err(QuestionError::Code(code)),
    }
    let mut found = Reply::default();
    let mut ttl = u32::MAX;
    // Names that lead to others are followed by the server; all addresses of the answer are of the name asked for.
    for record in &answer.answers {
        let ip = match &record.data {
            RData::A(a) => IpAddr::V4(a.0),
            RData::AAAA(aaaa) => IpAddr::V6(aaaa.0),
            _ => continue,
        };
        found.addresses.push(ip);
        ttl = ttl.min(record.ttl);
    }
    if !found.addresses.is_empty() {
        found.ttl = Duration::from_secs(ttl.into());
    }
    Ok(found)
}
