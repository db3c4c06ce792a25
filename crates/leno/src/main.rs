//! The `leno` binary: arguments in, one role or command out.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

mod bootstrap;
mod demo;
mod notify;
mod parent;
mod role;
mod run;

/// A service mesh in one binary.
#[derive(Debug, Parser)]
#[command(name = "leno", version, arg_required_else_help = true)]
struct Arguments {
    /// What to log: error, warn, info, debug, trace, or per part (info,leno_proxy=debug).
    #[arg(long, env = "LENO_LOG", default_value = "info", global = true, value_name = "FILTER")]
    log: String,
    /// How to log.
    #[arg(long, env = "LENO_LOG_FORMAT", default_value = "text", global = true)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(subcommand)]
    Bootstrap(bootstrap::BootstrapCommand),
    /// Print a completion script for a shell.
    Completion {
        shell: clap_complete::Shell,
    },
    Control(role::control::ControlArgs),
    Demo(demo::DemoArgs),
    Proxy(role::proxy::ProxyCommand),
    Run(run::RunArgs),
    /// A part of the demo shop.
    #[command(hide = true)]
    Shop(demo::shop::ShopArgs),
    #[command(flatten)]
    Client(leno_cli::Command),
}

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    if let Err(error) = init_log(&arguments) {
        eprintln!("leno: {error}");
        return ExitCode::from(2);
    }
    if let Err(error) = quiet_at_closed_pipe(&arguments.command) {
        eprintln!("leno: {error}");
        return ExitCode::from(1);
    }
    match dispatch(arguments.command) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("leno: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn init_log(arguments: &Arguments) -> Result<(), leno_telemetry::LogError> {
    let format = match arguments.log_format {
        LogFormat::Json => leno_telemetry::LogFormat::Json,
        LogFormat::Text => leno_telemetry::LogFormat::Text,
    };
    leno_telemetry::init_log(format, &arguments.log)
}

/// Commands that only print end with their reader; whatever serves must outlive a closed standard output.
fn quiet_at_closed_pipe(command: &Command) -> std::io::Result<()> {
    match command {
        Command::Bootstrap(_) | Command::Client(_) | Command::Completion { .. } => {
            leno_runtime::sys::end_at_closed_pipe()
        }
        Command::Control(_) | Command::Demo(_) | Command::Proxy(_) | Command::Run(_) | Command::Shop(_) => Ok(()),
    }
}

/// The value is the exit code.
fn dispatch(command: Command) -> anyhow::Result<i32> {
    match command {
        Command::Bootstrap(command) => block_on(bootstrap::run(command)),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "leno", &mut std::io::stdout());
            Ok(0)
        }
        Command::Control(args) => role::control::run(args),
        Command::Demo(args) => block_on(demo::run(args)),
        Command::Proxy(command) => role::proxy::run(command),
        Command::Run(args) => block_on(run::run(args, own_options())),
        Command::Shop(args) => block_on(async { demo::shop::run(args).await.map(|()| 0) }),
        Command::Client(command) => leno_cli::run(command),
    }
}

/// What stands before `--` on our command line without the word `run`, to be handed to `leno proxy` as it is, but for what
/// only `leno run` knows.
fn own_options() -> Vec<OsString> {
    let mut options: Vec<OsString> = std::env::args_os().skip(1).take_while(|word| word != "--").collect();
    // Before it stand options of all commands; their values may be the same word.
    let is_value = |at: usize| at > 0 && (options[at - 1] == "--log" || options[at - 1] == "--log-format");
    if let Some(at) = (0..options.len()).find(|at| options[*at] == "run" && !is_value(*at)) {
        options.remove(at);
    }
    if let Some(at) = options.iter().position(|word| word == "--notify") {
        options.drain(at..(at + 2).min(options.len()));
    }
    options.retain(|word| !word.to_string_lossy().starts_with("--notify="));
    options
}

fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}
