//! The authority's promises, with OpenSSL as the independent judge.
#![allow(clippy::unwrap_used, reason = "what a test made is as it made it")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use leno_ca::{Ca, CaConfig, CaError, TokenError, TokenSpec};
use leno_identity::JoinToken;
use leno_names::{SpiffeId, TrustDomain};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};

fn domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}
fn id(account: &str) -> SpiffeId {
    SpiffeId::new(domain(), "shop", account)
}
fn open(dir: &Path) -> Ca {
    Ca::open(dir, CaConfig::new(domain()), SystemTime::now()).unwrap()
}
fn csr(names: Vec<SanType>) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = names;
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}
fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}
fn openssl(args: &[&str]) -> String {
    let out = Command::new("openssl").args(args).output().expect("openssl is needed: apt-get install openssl");
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
fn openssl_accepts_the_chain_and_reads_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let ca = open(dir.path());
    let chain = ca.sign_csr(&csr(vec![uri(&id("web").to_string())]), &id("web"), None, SystemTime::now()).unwrap();
    let path = |n: &str| dir.path().join(n).to_str().unwrap().to_owned();
    for (name, pem) in ["l", "i", "r"].iter().zip(&chain) {
        std::fs::write(path(name), pem).unwrap();
    }
    for purpose in ["sslserver", "sslclient"] {
        let out = openssl(&[
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-CAfile",
            &path("r"),
            "-untrusted",
            &path("i"),
            &path("l"),
        ]);
        assert!(out.contains(": OK"), "{out}");
    }
    let text = openssl(&["x509", "-in", &path("l"), "-noout", "-text"]);
    assert!(text.contains("URI:spiffe://cluster.local/ns/shop/sa/web"), "{text}");
    assert!(text.contains("Subject Alternative Name: critical"), "{text}");
    assert!(text.contains("Digital Signature") && text.contains("CA:FALSE"), "{text}");
    let text = openssl(&["x509", "-in", &path("i"), "-noout", "-text"]);
    assert!(text.contains("pathlen:0"), "{text}");
}

#[test]
fn keys_are_private_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ca");
    let bundle = open(&dir).bundle_pem().to_owned();
    assert_eq!(open(&dir).bundle_pem(), bundle);
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for key in ["root-key.pem", "intermediate.pem"] {
        assert_eq!(mode(&dir.join(key)), 0o600);
    }
}

#[test]
fn a_csr_may_name_only_the_wanted_identity() {
    let dir = tempfile::tempdir().unwrap();
    let ca = open(dir.path());
    let sign = |names, id: &SpiffeId| ca.sign_csr(&csr(names), id, None, SystemTime::now());
    assert!(sign(vec![], &id("web")).is_ok());
    assert!(matches!(sign(vec![uri(&id("db").to_string())], &id("web")), Err(CaError::Refused { .. })));
    let dns = SanType::DnsName("web".try_into().unwrap());
    assert!(matches!(sign(vec![dns], &id("web")), Err(CaError::Refused { .. })));
    let other = SpiffeId::new("other.example".parse().unwrap(), "shop", "web");
    assert!(matches!(sign(vec![], &other), Err(CaError::Refused { .. })));
}

#[test]
fn a_csr_with_a_broken_signature_is_refused() {
    use base64::Engine;
    let dir = tempfile::tempdir().unwrap();
    let ca = open(dir.path());
    let pem = csr(vec![uri(&id("web").to_string())]);
    let body: String = pem.lines().filter(|l| !l.starts_with("---")).collect();
    let mut der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    let last = der.len() - 1;
    der[last] ^= 1;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n");
    assert!(matches!(ca.sign_csr(&pem, &id("web"), None, SystemTime::now()), Err(CaError::Refused { .. })));
}

#[test]
fn tokens_are_bounded_bound_and_kept_hashed() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let ca = open(dir.path());
    let spec = TokenSpec {
        namespace: "shop".into(),
        service_accounts: vec!["web".into()],
        uses: 1,
        ttl: Duration::from_secs(60),
    };
    let token = ca.create_token(&spec, now).unwrap();
    assert!(!std::fs::read_to_string(dir.path().join("tokens.json")).unwrap().contains(&token.secret));
    assert!(matches!(ca.redeem_token(&token, &id("db"), now), Err(TokenError::OtherIdentity { .. })));
    let forged = JoinToken { secret: "x".into(), ..token.clone() };
    assert!(matches!(ca.redeem_token(&forged, &id("web"), now), Err(TokenError::Unknown)));
    assert!(matches!(
        ca.redeem_token(&token, &id("web"), now + Duration::from_secs(61)),
        Err(TokenError::Expired { .. })
    ));
    ca.redeem_token(&token, &id("web"), now).unwrap();
    drop(ca);
    let ca = open(dir.path());
    assert!(matches!(ca.redeem_token(&token, &id("web"), now), Err(TokenError::UsedUp { .. })));
    assert!(ca.revoke_token(&token.id).unwrap());
    assert!(matches!(ca.redeem_token(&token, &id("web"), now), Err(TokenError::Unknown)));
}

#[test]
fn a_use_that_cannot_be_saved_is_not_given() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let ca = open(dir.path());
    let spec = TokenSpec {
        namespace: "shop".into(),
        service_accounts: vec!["web".into()],
        uses: 1,
        ttl: Duration::from_secs(60),
    };
    let token = ca.create_token(&spec, now).unwrap();
    let blocker = dir.path().join("tokens.json.new");
    std::fs::create_dir(&blocker).unwrap();
    assert!(matches!(ca.redeem_token(&token, &id("web"), now), Err(TokenError::NotSaved { .. })));
    std::fs::remove_dir(&blocker).unwrap();
    ca.redeem_token(&token, &id("web"), now).unwrap();
}

#[test]
fn a_damaged_file_is_named_and_not_replaced() {
    for file in ["root-cert.pem", "intermediate.pem", "tokens.json"] {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        std::fs::write(dir.path().join(file), "garbage").unwrap();
        let error = Ca::open(dir.path(), CaConfig::new(domain()), SystemTime::now()).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
        assert_eq!(std::fs::read_to_string(dir.path().join(file)).unwrap(), "garbage");
    }
}

#[test]
fn without_the_root_key_only_renewal_fails() {
    let dir = tempfile::tempdir().unwrap();
    let away = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let moved = away.path().join("k.pem");
    std::fs::rename(dir.path().join("root-key.pem"), &moved).unwrap();
    let ca = open(dir.path());
    ca.issue(&id("web"), SystemTime::now()).unwrap();
    let there = dir.path().join("root-key.pem");
    assert!(matches!(ca.renew_intermediate(&there, SystemTime::now()), Err(CaError::RootKeyOffline { .. })));
    ca.renew_intermediate(&moved, SystemTime::now()).unwrap();
    drop(ca);
    open(dir.path()).issue(&id("web"), SystemTime::now()).unwrap();
}

/// Who has such a name could pass for a server whose clients look at nothing else.
#[test]
fn host_names_stand_in_a_servers_certificate_and_in_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let ca = open(dir.path());
    let names = |svid: &leno_identity::Svid| {
        let pem = svid.chain_pem();
        let (_, first) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let leaf = first.parse_x509().unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.iter();
        names.map(ToString::to_string).collect::<Vec<_>>()
    };
    let given = ["mesh.example".to_owned(), "10.0.0.1".to_owned()];
    let server = names(&ca.issue_server(&id("control"), &given, SystemTime::now()).unwrap());
    assert_eq!(server.len(), 3, "{server:?}");
    let workload = names(&ca.issue(&id("web"), SystemTime::now()).unwrap());
    assert!(matches!(workload.as_slice(), [only] if only.contains("spiffe://")), "{workload:?}");
    assert!(ca.issue_server(&id("control"), &["k\u{f6}ln".to_owned()], SystemTime::now()).is_err());
}

#[test]
fn a_failed_renewal_leaves_a_usable_directory() {
    let dir = tempfile::tempdir().unwrap();
    let ca = open(dir.path());
    std::fs::create_dir(dir.path().join("intermediate.pem.new")).unwrap();
    assert!(ca.renew_intermediate(&dir.path().join("root-key.pem"), SystemTime::now()).is_err());
    std::fs::remove_dir(dir.path().join("intermediate.pem.new")).unwrap();
    drop(ca);
    Ca::open(dir.path(), CaConfig::new(domain()), SystemTime::now()).unwrap();
}

#[test]
fn an_interrupted_first_start_can_be_repeated() {
    // In the order in which they are written.
    for file in ["root-cert.pem.draft", "root-key.pem", "intermediate.pem"] {
        let dir = tempfile::tempdir().unwrap();
        let blocker = dir.path().join(format!("{file}.new"));
        std::fs::create_dir(&blocker).unwrap();
        assert!(Ca::open(dir.path(), CaConfig::new(domain()), SystemTime::now()).is_err(), "{file}");
        std::fs::remove_dir(&blocker).unwrap();
        open(dir.path()).issue(&id("web"), SystemTime::now()).unwrap();
    }
}

#[test]
fn a_first_start_cut_short_before_the_root_is_in_place_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let file = |name: &str| dir.path().join(name);
    assert!(!file("root-cert.pem.draft").exists());
    let root = std::fs::read(file("root-cert.pem")).unwrap();
    std::fs::rename(file("root-cert.pem"), file("root-cert.pem.draft")).unwrap();
    std::fs::remove_file(file("intermediate.pem")).unwrap();
    open(dir.path()).issue(&id("web"), SystemTime::now()).unwrap();
    assert_eq!(std::fs::read(file("root-cert.pem")).unwrap(), root);
    assert!(!file("root-cert.pem.draft").exists());
}

#[test]
fn an_intermediate_of_another_root_is_noticed() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop((open(a.path()), open(b.path())));
    std::fs::copy(b.path().join("intermediate.pem"), a.path().join("intermediate.pem")).unwrap();
    assert!(Ca::open(a.path(), CaConfig::new(domain()), SystemTime::now()).is_err());
}

#[test]
fn an_intermediate_does_not_outlive_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = CaConfig::new(domain());
    config.root_ttl = Duration::from_secs(3600);
    let now = SystemTime::now();
    let ca = Ca::open(dir.path(), config, now).unwrap();
    assert!(ca.issue(&id("web"), now).unwrap().not_after <= now + Duration::from_secs(3601));
}
