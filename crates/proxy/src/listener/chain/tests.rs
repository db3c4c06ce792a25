use super::*;

fn range(text: &str) -> CidrRange {
    let (address, bits) = text.split_once('/').expect("a range");
    CidrRange::new(address.parse().expect("an address"), bits.parse().expect("a length")).expect("a range")
}

/// Which of `chains` takes a connection from `remote` to 10.0.0.5:443.
fn chosen(chains: &[FilterChainMatch], remote: &str, verdict: &Verdict) -> Option<usize> {
    let remote = remote.parse().expect("an address");
    let local = "10.0.0.5:443".parse().expect("an address");
    let facts = Facts { local, remote, direct_remote: "192.0.2.9:9".parse().expect("an address"), verdict };
    let numbered: Vec<_> = chains.iter().enumerate().collect();
    most_specific(&numbered, |(_, matches)| matches, facts).map(|(index, _)| *index)
}

fn any() -> FilterChainMatch {
    FilterChainMatch::default()
}

fn hello(server_name: &str, alpn: &[&str]) -> Verdict {
    let alpn = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Verdict::Tls(ClientHello { server_name: Some(server_name.to_owned()), alpn })
}

#[test]
fn an_exact_server_name_beats_the_longest_suffix() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let exact = server_name_rank(&names(&["a.b.c"]), Some("a.b.c"));
    let long = server_name_rank(&names(&["*.c", "*.b.c"]), Some("a.B.c"));
    let short = server_name_rank(&names(&["*.c"]), Some("a.b.c"));
    assert!(exact > long && long > short && short > server_name_rank(&[], Some("a.b.c")));
    assert_eq!(server_name_rank(&names(&["*.b.c"]), Some("b.c")), None);
    assert_eq!(server_name_rank(&names(&["a"]), None), None);
}

#[test]
fn the_longest_prefix_wins_on_both_sides() {
    let to = |text| FilterChainMatch { prefix_ranges: vec![range(text)], ..any() };
    let from = |text| FilterChainMatch { source_prefix_ranges: vec![range(text)], ..any() };
    let chains = [any(), to("10.0.0.0/8"), to("10.0.0.0/24"), to("10.0.1.0/24")];
    assert_eq!(chosen(&chains, "192.0.2.1:1", &Verdict::Other), Some(2));
    let chains = [from("192.0.2.0/24"), from("192.0.0.0/16"), from("::/0")];
    assert_eq!(chosen(&chains, "192.0.2.1:1", &Verdict::Other), Some(0));
    assert_eq!(chosen(&chains, "192.0.3.1:1", &Verdict::Other), Some(1));
    assert_eq!(chosen(&chains, "198.51.100.1:1", &Verdict::Other), None);
}

#[test]
fn an_earlier_criterion_decides_and_there_is_no_way_back() {
    let port = FilterChainMatch { destination_port: Some(443), source_ports: vec![7], ..any() };
    let chains = [FilterChainMatch { prefix_ranges: vec![range("10.0.0.5/32")], ..any() }, port];
    assert_eq!(chosen(&chains, "192.0.2.1:7", &Verdict::Other), Some(1));
    assert_eq!(chosen(&chains, "192.0.2.1:8", &Verdict::Other), None);
}

#[test]
fn where_a_client_is_counts_by_kind_and_by_port() {
    let kind = |source_type| FilterChainMatch { source_type: Some(source_type), ..any() };
    let chains = [any(), kind(SourceType::External), kind(SourceType::SameIpOrLoopback)];
    assert_eq!(chosen(&chains, "192.0.2.1:1", &Verdict::Other), Some(1));
    assert_eq!(chosen(&chains, "10.0.0.5:1", &Verdict::Other), Some(2));
    assert_eq!(chosen(&chains, "127.0.0.1:1", &Verdict::Other), Some(2));
    assert_eq!(chosen(&chains, "127.0.0.2:1", &Verdict::Other), Some(1));
    let chains = [FilterChainMatch { source_ports: vec![5, 6], ..any() }, any()];
    assert_eq!(chosen(&chains, "192.0.2.1:6", &Verdict::Other), Some(0));
    assert_eq!(chosen(&chains, "192.0.2.1:7", &Verdict::Other), Some(1));
    let direct = FilterChainMatch { direct_source_prefix_ranges: vec![range("192.0.2.9/32")], ..any() };
    assert_eq!(chosen(&[any(), direct], "198.51.100.1:1", &Verdict::Other), Some(1));
}

#[test]
fn of_several_protocols_the_first_that_the_client_names_counts() {
    let protocol = |name: &str| FilterChainMatch { application_protocols: vec![name.to_owned()], ..any() };
    let chains = [protocol("http/1.1"), protocol("h2"), any()];
    assert_eq!(chosen(&chains, "192.0.2.1:1", &hello("a", &["h2", "http/1.1"])), Some(1));
    assert_eq!(chosen(&chains, "192.0.2.1:1", &hello("a", &["other", "http/1.1"])), Some(0));
    assert_eq!(chosen(&chains, "192.0.2.1:1", &hello("a", &["other"])), Some(2));
}
