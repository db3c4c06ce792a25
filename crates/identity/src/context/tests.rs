use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};

use super::*;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a root").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn pair(&self, name: &str) -> KeyPairSource {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::DnsName(name.try_into().expect("ASCII")));
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        KeyPairSource { chain: inline(&pem), key: inline(&key.serialize_pem()) }
    }

    fn rules(&self) -> PeerRules {
        PeerRules { roots: Some(inline(&self.pem)), ..PeerRules::default() }
    }
}

fn inline(pem: &str) -> PemSource {
    PemSource::Inline(pem.as_bytes().to_vec())
}

fn both_versions() -> ContextParameters {
    ContextParameters {
        minimum: ContextVersion::Tls12,
        maximum: ContextVersion::Tls13,
        cipher_suites: Vec::new(),
        curves: Vec::new(),
    }
}

fn server(certificates: Vec<KeyPairSource>) -> ServerSettings {
    ServerSettings {
        certificates,
        alpn: vec![b"h2".to_vec()],
        peers: None,
        require_client_certificate: false,
        parameters: both_versions(),
        stateless_resumption: true,
        stateful_resumption: true,
    }
}

fn client(peers: Option<PeerRules>) -> ClientSettings {
    ClientSettings {
        certificate: None,
        alpn: Vec::new(),
        peers,
        checks_server_name: false,
        sends_server_name: true,
        parameters: both_versions(),
        max_sessions: 1,
    }
}

/// The DNS names of the certificate that the server showed.
fn handshake(server: ServerSettings, client: ClientSettings, name: &str) -> Result<Vec<String>, rustls::Error> {
    let server = ServerContext::new(server).expect("settings");
    let client = ClientContext::new(client).expect("settings").config(UpstreamAlpn::Http1);
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(client, name)?;
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("into memory");
    let mut acceptor = rustls::server::Acceptor::default();
    acceptor.read_tls(&mut hello.as_slice()).expect("from memory");
    let accepted = acceptor.accept().map_err(|(error, _)| error)?.expect("a whole hello");
    let config = server.config_for(&accepted.client_hello());
    let mut server: ServerConnection = accepted.into_connection(config).map_err(|(error, _)| error)?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("into memory");
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("from memory");
            client.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("into memory");
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("from memory");
            server.process_new_packets()?;
        }
    }
    Ok(verifier::dns_names(&client.peer_certificates().expect("a chain")[0]))
}

#[test]
fn a_certificate_is_chosen_by_the_name_that_the_client_asks_for() {
    let authority = Authority::new();
    let pairs = || ["a.test", "*.b.test", "c.test"].map(|name| authority.pair(name)).to_vec();
    let shown = |name| handshake(server(pairs()), client(Some(authority.rules())), name).expect("a handshake");
    assert_eq!(shown("c.test"), ["c.test"]);
    assert_eq!(shown("x.b.test"), ["*.b.test"]);
    assert_eq!(shown("b.test"), ["a.test"]);
}

/// The client offers HTTP/1.1 and the server HTTP/2: in `handshake` neither gives in.
#[test]
fn protocols_without_overlap_are_no_reason_to_refuse() {
    let authority = Authority::new();
    assert!(handshake(server(vec![authority.pair("a.test")]), client(None), "a.test").is_ok());
}

#[test]
fn who_signed_and_who_it_is_are_both_checked() {
    let authority = Authority::new();
    let shows = || server(vec![authority.pair("a.test")]);
    let named = |wanted: &'static str| {
        let rule = NameRule::new(move |name| name.kind == SubjectNameKind::Dns && name.text == wanted);
        client(Some(PeerRules { names: Some(rule), ..authority.rules() }))
    };
    assert!(handshake(shows(), named("a.test"), "other.test").is_ok());
    assert!(handshake(shows(), named("b.test"), "a.test").is_err());
    assert!(handshake(shows(), client(Some(Authority::new().rules())), "a.test").is_err());
    let untrusted = PeerRules { accept_untrusted: true, ..Authority::new().rules() };
    assert!(handshake(shows(), client(Some(untrusted)), "a.test").is_ok());
    let asked = ClientSettings { checks_server_name: true, ..client(Some(authority.rules())) };
    assert!(handshake(shows(), asked.clone(), "a.test").is_ok() && handshake(shows(), asked, "b.test").is_err());
}

#[test]
fn a_pinned_certificate_is_the_only_one() {
    let authority = Authority::new();
    let pinned = PeerRules { certificate_hashes: vec![[7; 32]], ..PeerRules::default() };
    assert!(handshake(server(vec![authority.pair("a.test")]), client(Some(pinned)), "a.test").is_err());
}

#[test]
fn a_required_certificate_must_come() {
    let authority = Authority::new();
    let mut settings = server(vec![authority.pair("a.test")]);
    settings.peers = Some(authority.rules());
    settings.require_client_certificate = true;
    assert!(handshake(settings.clone(), client(None), "a.test").is_err());
    let mut shows = client(None);
    shows.certificate = Some(authority.pair("client.test"));
    assert!(handshake(settings, shows, "a.test").is_ok());
}

#[test]
fn every_part_that_is_wrong_is_named() {
    let authority = Authority::new();
    let (one, two) = (authority.pair("a.test"), authority.pair("b.test"));
    let mixed = KeyPairSource { chain: one.chain.clone(), key: two.key };
    let missing = KeyPairSource { chain: PemSource::File("/none/chain.pem".into()), key: one.key };
    let errors = ServerContext::new(server(vec![mixed, missing])).expect_err("both are wrong");
    let parts: Vec<_> = errors.iter().map(|error| error.part).collect();
    assert_eq!(parts, [ContextPart::KeyPair { index: 0 }, ContextPart::CertificateChain { index: 1 }]);
    assert!(errors[1].reason.starts_with("/none/chain.pem cannot be read"), "{errors:?}");
    assert!(!format!("{errors:?}").contains("PRIVATE"));
}

/// Of X.509 version 1, as `openssl x509 -req` writes it, and Envoy's examples have it.
const VERSION_1: (&str, &str) = (
    "-----BEGIN CERTIFICATE-----\n\
     MIIBGTCBvwIUC0spyV5YovkVUSmS5IjGatRQZuIwCgYIKoZIzj0EAwIwDjEMMAoG\n\
     A1UEAwwDb2xkMCAXDTI2MTEyMTE5NDkxNloYDzIxMjYxMDI4MTk0OTE2WjAOMQww\n\
     CgYDVQQDDANvbGQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARsC53EVv46bSaH\n\
     1102VMnsWOwvE/7N4gZYmsYNZPZGodHJSxVUBDYv0YDDag9vMRReyWiGYoEE2JGR\n\
     FtER+2/iMAoGCCqGSM49BAMCA0kAMEYCIQCPPcj3vVt4gfU8MgvRSBSl7SNcQy9e\n\
     6f5MkRGPpmwFsQIhAKblZ8kVx7vcezxZxM09Yn7WpDxada3uti9IR9pdmNxV\n\
     -----END CERTIFICATE-----",
    "-----BEGIN PRIVATE KEY-----\n\
     MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgp5DK4YyooOWUPUp3\n\
     bDKWif+vMtu+dWg5979aIDAhWIGhRANCAARsC53EVv46bSaH1102VMnsWOwvE/7N\n\
     4gZYmsYNZPZGodHJSxVUBDYv0YDDag9vMRReyWiGYoEE2JGRFtER+2/i\n\
     -----END PRIVATE KEY-----",
);

#[test]
fn a_certificate_of_version_1_is_shown_with_its_key_and_with_no_other() {
    let old = KeyPairSource { chain: inline(VERSION_1.0), key: inline(VERSION_1.1) };
    let mixed = KeyPairSource { key: Authority::new().pair("a.test").key, ..old.clone() };
    assert!(ServerContext::new(server(vec![old])).is_ok());
    let errors = ServerContext::new(server(vec![mixed])).expect_err("another key");
    assert_eq!(errors[0].part, ContextPart::KeyPair { index: 0 });
}
