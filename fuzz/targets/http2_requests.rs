#![no_main]
//! See `leno_proxy::fuzzing`.

use libfuzzer_sys::fuzz_target;

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime without sockets");
}

fuzz_target!(|data: &[u8]| {
    RUNTIME.with(|runtime| runtime.block_on(leno_proxy::fuzzing::http2_requests(data)));
});
