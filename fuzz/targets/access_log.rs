#![no_main]
//! Access log formats, as text and as JSON.

use leno_telemetry::access_log::{Member, Program};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|format: &str| {
    let as_text = Program::text(format);
    let as_json = Program::json([("key", Member::Text(format.to_owned()))]);
    assert_eq!(as_text.is_ok(), as_json.is_ok());
});
