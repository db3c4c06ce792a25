use std::net::{IpAddr, SocketAddr};

use leno_ir::{HeaderMatch, MetadataSource, MetadataValue};

/// A request on its connection, or a connection alone, as far as policies look at it.
pub trait View {
    /// Where the client connected to.
    fn destination(&self) -> SocketAddr;

    /// The peer of the socket.
    fn direct_remote_ip(&self) -> IpAddr;

    /// The client of the connection.
    fn source_ip(&self) -> IpAddr;

    /// The client of the request.
    fn remote_ip(&self) -> IpAddr;

    fn is_tls(&self) -> bool;

    /// Whether `is_match` holds for one of the names of the client's certificate: URI names, DNS names, the subject ("" when
    /// there is none).
    fn has_peer_name(&self, is_match: &mut dyn FnMut(&str) -> bool) -> bool;

    /// "" when there is none.
    fn requested_server_name(&self) -> &str;

    /// Without query and fragment; `None` when there is no request.
    fn url_path(&self) -> Option<&str>;

    /// Without a request as on one without headers.
    fn header_matches(&self, matches: &HeaderMatch) -> bool;

    fn metadata(&self, source: MetadataSource, namespace: &str, path: &[String]) -> Option<&MetadataValue>;
}
