#![no_main]
//! Bootstrap files: served or refused by line, never both and never neither.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(problems) = leno_xds::read_bootstrap(text) {
        assert!(!problems.is_empty());
        // In YAML a carriage return alone ends a line, too.
        let lines = text.split(['\n', '\r']).count();
        assert!(problems.iter().all(|problem| (1..=lines + 1).contains(&problem.line)), "{problems:?}");
    }
});
