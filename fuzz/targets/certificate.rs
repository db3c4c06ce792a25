#![no_main]
//! What a peer shows as its certificate.

use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateDer;

fuzz_target!(|bytes: &[u8]| {
    let chain = [CertificateDer::from(bytes)];
    let _ = leno_identity::PeerExpiry::of(&chain);
    if let Ok(id) = leno_identity::peer_spiffe_id(&chain) {
        assert_eq!(id.to_string().parse().as_ref(), Ok(&id));
    }
});
