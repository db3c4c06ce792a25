#![no_main]
//! Resources as users write them: what is understood survives being written again.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed = leno_api::parse("fuzz.yaml", text);
    for resource in &parsed.resources {
        let again = leno_api::parse("again.yaml", &resource.value.to_yaml());
        assert_eq!(again.resources.len(), 1, "{}", resource.value.to_yaml());
    }
});
