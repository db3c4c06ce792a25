use proptest::prelude::*;

use super::*;

fn addresses() -> impl Strategy<Value = ProxyAddresses> {
    let v4 = (any::<[u8; 4]>(), any::<[u8; 4]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b)));
    let v6 = (any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b)));
    (prop_oneof![v4, v6], any::<u16>(), any::<u16>()).prop_map(|((from, to), source, destination)| ProxyAddresses {
        source: SocketAddr::new(from, source),
        destination: SocketAddr::new(to, destination),
    })
}

/// Bytes that begin like a header, and others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        Just(Vec::new()),
        Just(V1_START.to_vec()),
        Just(b"PROXY TCP4 1.2.3.4 ".to_vec()),
        Just(V2_START.to_vec()),
        Just([V2_START, &[0x21, 0x11, 0, 12]].concat()),
    ];
    (start, proptest::collection::vec(any::<u8>(), 0..200)).prop_map(|(start, rest)| [start, rest].concat())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_change_its_mind(bytes in bytes()) {
        let whole = parse(&bytes);
        for end in 0..bytes.len() {
            match parse(&bytes[..end]) {
                Ok(Progress::More) => {}
                settled => {
                    prop_assert_eq!(settled, whole);
                    break;
                }
            }
        }
        if let Ok(Progress::Complete { length, .. }) = whole {
            prop_assert!(length <= bytes.len());
        }
    }

    #[test]
    fn what_is_written_is_read(addresses in addresses(), version in prop_oneof![Just(ProxyProtocolVersion::V1), Just(ProxyProtocolVersion::V2)]) {
        let bytes = encode(version, Some(addresses));
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let Ok(Progress::Complete { header, length }) = parse(&bytes) else { panic!("a header") };
        let read = header.addresses.expect("addresses");
        prop_assert_eq!(length, bytes.len());
        prop_assert_eq!(canonical(read.source), canonical(addresses.source));
        prop_assert_eq!(canonical(read.destination), canonical(addresses.destination));
    }
}

#[test]
fn a_line_names_both_ends() {
    let bytes = b"PROXY TCP4 192.0.2.1 198.51.100.2 1111 443\r\nGET /";
    let Ok(Progress::Complete { header, length }) = parse(bytes) else { panic!("a header") };
    let ProxyAddresses { source, destination } = header.addresses.expect("addresses");
    assert_eq!((source.to_string(), destination.to_string()), ("192.0.2.1:1111".into(), "198.51.100.2:443".into()));
    assert_eq!(&bytes[length..], b"GET /");
}

#[test]
fn a_connection_of_the_balancer_itself_has_no_addresses() {
    for bytes in [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN ffff:: 1 2 3\r\n", &encode(ProxyProtocolVersion::V2, None)]
    {
        let Ok(Progress::Complete { header, length }) = parse(bytes) else { panic!("a header") };
        assert_eq!((header.addresses, length), (None, bytes.len()));
    }
}

#[test]
fn what_is_not_said_after_the_addresses_is_stepped_over() {
    let addresses = ProxyAddresses {
        source: "192.0.2.1:1".parse().expect("an address"),
        destination: "192.0.2.2:2".parse().expect("an address"),
    };
    let mut bytes = encode(ProxyProtocolVersion::V2, Some(addresses));
    bytes[15] += 5;
    bytes.extend([4, 0, 2, 1, 1]);
    let header = ProxyHeader { version: ProxyProtocolVersion::V2, addresses: Some(addresses) };
    assert_eq!(parse(&bytes), Ok(Progress::Complete { header, length: bytes.len() }));
}

#[test]
fn faults_are_told_as_soon_as_they_are_seen() {
    let too_long = [&b"PROXY TCP4 "[..], &[b'1'; 100]].concat();
    assert_eq!(parse(&too_long), Err(Malformed::TooLong));
    for line in ["TCP4 1.2.3.4 1.2.3.4 1", "TCP4 ::1 ::1 1 1", "TCP4 1.2.3.4 1.2.3.4 1 65536", "TCP5 1 1 1 1", ""] {
        assert_eq!(parse(format!("PROXY {line}\r\n").as_bytes()), Err(Malformed::Syntax), "{line}");
    }
    assert_eq!(parse(&[V2_START, &[0x31, 0x11, 0, 12]].concat()), Err(Malformed::Unknown));
    assert_eq!(parse(&[V2_START, &[0x21, 0x31, 0, 12]].concat()), Err(Malformed::Unknown));
    assert_eq!(parse(b"GET / HTTP/1.1"), Ok(Progress::Other));
    assert_eq!(parse(b"PRO"), Ok(Progress::More));
}
