//! Whether anybody can make Leno and a server see different requests in the same bytes.
//!
//! Shape       corpus (`corpus/*.yaml`) -> n `Case` -> one connection to Leno each -> `Origin`, which reads strictly and records
//!             the same cases through pairs of Leno and a peer (other people's proxies and servers)
//! Invariants  what the last server parsed = what Leno's access log says it forwarded; no answer is lost or gained
//! Source      RFC 9112 §2-7 and §11.2, RFC 9113 §8 and §10.3
#![forbid(unsafe_code)]

mod answer;
mod case;
mod client;
mod front;
mod http2;
mod origin;
mod peer;

pub use self::answer::Answer;
pub use self::case::{Case, Ending, corpus};
pub use self::client::{Connection, talk_until_quiet};
pub use self::front::{Front, LogLine};
pub use self::http2::exchange as exchange_http2;
pub use self::origin::{Origin, Record};
pub use self::peer::{Peer, program};
