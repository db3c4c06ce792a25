#![no_main]
//! Resources as users write them: what is understood survives being written again, and anything can be analysed.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut objects = leno_analyze::Objects::new(0);
    for document in leno_api::documents("fuzz.yaml", text).into_iter().flatten() {
        objects.add(&document, "default", "");
    }
    leno_analyze::analyze(&objects);
    let parsed = leno_api::parse("fuzz.yaml", text);
    for resource in &parsed.resources {
        let again = leno_api::parse("again.yaml", &resource.value.to_yaml());
        assert_eq!(again.resources.len(), 1, "{}", resource.value.to_yaml());
    }
});
