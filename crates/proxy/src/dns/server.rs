use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_proto::op::{Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use leno_runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use super::{Block, NameTable, forward};

/// Short, because a service's address may change with the configuration. In seconds.
const TTL_SECONDS: u32 = 5;
/// Largest query taken over UDP; a query has no reason to be longer.
const MAX_QUERY_BYTES: usize = 1232;
/// TCP clients at a time, and queries being forwarded at a time; more wait, or go unanswered over UDP.
const MAX_CLIENTS: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Resolver {
    names: Arc<ArcSwap<NameTable>>,
    upstream: Option<SocketAddr>,
    slots: Arc<Semaphore>,
}

/// What to do with a query.
#[derive(Debug)]
enum Reaction {
    Answer(Vec<u8>),
    /// Not a name of the mesh.
    Forward {
        resolver: SocketAddr,
        failure: Vec<u8>,
    },
    /// Not a query at all.
    Ignore,
}

/// Serves the block's sockets until `tasks` stops. Names the mesh does not have go to `upstream`, or are refused.
///
/// # Errors
/// When the sockets cannot be registered with the current runtime.
pub(crate) fn serve(
    block: Block,
    names: Arc<ArcSwap<NameTable>>,
    upstream: Option<SocketAddr>,
    tasks: &Tasks,
) -> io::Result<()> {
    let resolver = Arc::new(Resolver { names, upstream, slots: Arc::new(Semaphore::new(MAX_CLIENTS)) });
    for (udp, tcp) in block.into_sockets() {
        let (udp, tcp) = (Arc::new(UdpSocket::from_std(udp)?), TcpListener::from_std(tcp)?);
        tasks.spawn("dns-udp", serve_udp(udp, resolver.clone(), tasks.clone()));
        tasks.spawn("dns-tcp", serve_tcp(tcp, resolver.clone(), tasks.clone()));
    }
    Ok(())
}

async fn serve_udp(socket: Arc<UdpSocket>, resolver: Arc<Resolver>, tasks: Tasks) {
    let mut buffer = vec![0; MAX_QUERY_BYTES];
    loop {
        // An error here is an ICMP message about an earlier answer: nothing to do about it.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        match resolver.react(&buffer[..length]) {
            Reaction::Answer(answer) => {
                let _ = socket.send_to(&answer, client).await;
            }
            Reaction::Ignore => {}
            Reaction::Forward { resolver: upstream, failure } => {
                let Ok(slot) = resolver.slots.clone().try_acquire_owned() else { continue };
                let (socket, query) = (socket.clone(), buffer[..length].to_vec());
                tasks.spawn("dns-forward", async move {
                    let answer = forward::over_udp(upstream, &query).await.unwrap_or(failure);
                    let _ = socket.send_to(&answer, client).await;
                    drop(slot);
                });
            }
        }
    }
}

async fn serve_tcp(listener: TcpListener, resolver: Arc<Resolver>, tasks: Tasks) {
    loop {
        let Ok(slot) = resolver.slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let resolver = resolver.clone();
                tasks.spawn("dns-client", async move {
                    // A client that misbehaves or leaves costs only its own connection.
                    let _ = resolver.serve_client(stream).await;
                    drop(slot);
                });
            }
            // Out of descriptors, most likely; do not spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

impl Resolver {
    async fn serve_client(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let length = timely(stream.read_u16()).await?;
            let mut query = vec![0; usize::from(length)];
            timely(stream.read_exact(&mut query)).await?;
            let answer = match self.react(&query) {
                Reaction::Answer(answer) => answer,
                Reaction::Forward { resolver, failure } => forward::over_tcp(resolver, &query).await.unwrap_or(failure),
                Reaction::Ignore => return Ok(()),
            };
            let Ok(length) = u16::try_from(answer.len()) else { return Ok(()) };
            timely(stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())).await?;
        }
    }

    fn react(&self, packet: &[u8]) -> Reaction {
        let Ok(query) = Message::from_vec(packet) else { return refuse_garbage(packet) };
        if query.metadata.message_type != MessageType::Query {
            // Answering an answer could loop for ever.
            return Reaction::Ignore;
        }
        let [question] = query.queries.as_slice() else { return answer(&query, ResponseCode::FormErr, None) };
        if query.metadata.op_code != OpCode::Query {
            return answer(&query, ResponseCode::NotImp, None);
        }
        let name = question.name().to_ascii().to_ascii_lowercase();
        let Some(address) = self.names.load().address(name.strip_suffix('.').unwrap_or(&name)) else {
            return match self.upstream {
                None => answer(&query, ResponseCode::Refused, None),
                Some(resolver) => Reaction::Forward {
                    resolver,
                    failure: encode(&query, ResponseCode::ServFail, None).unwrap_or_default(),
                },
            };
        };
        let wants_address = matches!(question.query_class(), DNSClass::IN | DNSClass::ANY)
            && matches!(question.query_type(), RecordType::A | RecordType::ANY);
        let record =
            wants_address.then(|| Record::from_rdata(question.name().clone(), TTL_SECONDS, RData::A(A(address))));
        // Known, but without data of the type that is asked for, is an empty answer, not an error (RFC 2308 §2.2).
        answer(&query, ResponseCode::NoError, record)
    }
}

async fn timely<T>(io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(IDLE_TIMEOUT, io).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// For the fuzz targets: the answer to any packet, from a table of one name, is a DNS message or nothing.
#[cfg(fuzzing)]
pub(crate) fn fuzz(packet: &[u8]) {
    let names = Arc::new(ArcSwap::from_pointee(NameTable::of("echo.default", [127, 64, 1, 1].into())));
    for upstream in [None, Some(SocketAddr::from(([127, 0, 0, 1], 53)))] {
        let resolver = Resolver { names: names.clone(), upstream, slots: Arc::new(Semaphore::new(1)) };
        if let Reaction::Answer(answer) | Reaction::Forward { failure: answer, .. } = resolver.react(packet) {
            let message = Message::from_vec(&answer).expect("what we answer can be read");
            assert_eq!(message.metadata.message_type, MessageType::Response);
        }
    }
}

fn answer(query: &Message, code: ResponseCode, record: Option<Record>) -> Reaction {
    encode(query, code, record).map_or(Reaction::Ignore, Reaction::Answer)
}

fn encode(query: &Message, code: ResponseCode, record: Option<Record>) -> Option<Vec<u8>> {
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.metadata = Metadata::response_from_request(&query.metadata);
    message.metadata.authoritative = code == ResponseCode::NoError;
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.add_queries(query.queries.iter().cloned());
    message.add_answers(record);
    message.to_vec().ok()
}

/// FORMERR, when there is at least a header to answer to.
fn refuse_garbage(packet: &[u8]) -> Reaction {
    match packet {
        // Byte 2, bit 7: it is a response.
        [first, second, flags, ..] if packet.len() >= 12 && flags & 0x80 == 0 => {
            let id = u16::from_be_bytes([*first, *second]);
            let message = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
            message.to_vec().map_or(Reaction::Ignore, Reaction::Answer)
        }
        _ => Reaction::Ignore,
    }
}
