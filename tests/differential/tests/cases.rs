//! Every file of `cases/` against Leno and Envoy; see `README.md`.

fn main() -> std::process::ExitCode {
    leno_differential::main()
}
