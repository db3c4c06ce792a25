#![no_main]
//! Names that are shown again must be read as the same name.

use leno_names::{Locality, SpiffeId, TrustDomain};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<SpiffeId>() {
        assert_eq!(id.to_string().parse::<SpiffeId>().as_ref(), Ok(&id));
    }
    if let Ok(domain) = text.parse::<TrustDomain>() {
        assert_eq!(domain.to_string().parse::<TrustDomain>().as_ref(), Ok(&domain));
    }
    if let Ok(locality) = text.parse::<Locality>() {
        assert_eq!(locality.to_string().parse::<Locality>().as_ref().ok(), Some(&locality));
    }
});
