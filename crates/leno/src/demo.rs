//! `leno demo`: a whole mesh on this machine, of real processes, and what it does under traffic.
//!
//! Shape       control + 8 x (`leno run` -> `leno proxy` + shop); one loopback block per workload; all below one directory
//! Order       control ready -> join token -> services ready -> the customer starts -> scrape once a second -> stop all
//! Errors      a process that does not come up ends the demo with the last lines of its log

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;

pub(crate) mod client;
mod control_api;
mod report;
mod resources;
mod scrape;
pub(crate) mod shop;
mod view;

use self::client::HttpClient;
use self::control_api::ControlApi;
use self::report::Report;
use self::scrape::Totals;
use self::view::View;
use crate::notify::{Ready, ReadyInbox};

/// Longest wait for a process to be ready.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Longest wait for all processes to end by themselves; then they are killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks at the proxies' counters.
const REFRESH: Duration = Duration::from_secs(1);

/// Run a whole mesh on this machine and watch it work.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  leno demo\n  leno demo --for 20s --json\n  leno demo --resources ./my-routes")]
pub(crate) struct DemoArgs {
    /// Stop after this long; unless given, run until interrupted.
    #[arg(long = "for", value_parser = humantime::parse_duration, value_name = "DURATION")]
    duration: Option<Duration>,
    /// Print one JSON report at the end instead of the live view. Runs 20 s unless --for says otherwise.
    #[arg(long)]
    json: bool,
    /// Use the routing files of this directory instead of the demo's own; changes take effect at once.
    #[arg(long, value_name = "DIR")]
    resources: Option<PathBuf>,
    /// Requests per second that the customer sends.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Keep the data, logs and certificates here instead of a temporary directory.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// A workload of the demo.
struct Part {
    name: &'static str,
    service: &'static str,
    version: &'static str,
    track: &'static str,
    failing: bool,
}

const fn part(name: &'static str, service: &'static str, version: &'static str) -> Part {
    Part { name, service, version, track: "stable", failing: false }
}

const PARTS: [Part; 6] = [
    part("web-v1", "web", "v1"),
    part("details-v1", "details", "v1"),
    part("reviews-v1", "reviews", "v1"),
    Part { name: "reviews-v2", service: "reviews", version: "v2", track: "canary", failing: false },
    Part { name: "reviews-v3", service: "reviews", version: "v3", track: "canary", failing: true },
    part("ratings-v1", "ratings", "v1"),
];
const CUSTOMER: Part = part("customer-v1", "customer", "v1");

/// The value is the exit code: 0 only when the mesh did its job.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<i32> {
    let scratch = tempfile::Builder::new().prefix("leno-demo-").tempdir().context("making the demo's directory")?;
    let directory = args.data.clone().unwrap_or_else(|| scratch.path().to_owned());
    std::fs::create_dir_all(directory.join("logs")).with_context(|| format!("making {}", directory.display()))?;
    let mut mesh = Mesh {
        directory,
        inbox: ReadyInbox::bind(scratch.path().join("ready"))?,
        children: Vec::new(),
        inputs: Vec::new(),
    };

    let outcome = tokio::select! {
        outcome = watch(&args, &mut mesh) => outcome,
        shutdown = leno_runtime::shutdown_signal() => {
            shutdown.context("installing signal handlers")?;
            Ok(None)
        }
    };
    mesh.stop().await;
    let Some(report) = outcome? else {
        if args.json {
            eprintln!("leno demo: interrupted; there is no report");
        }
        return Ok(i32::from(args.json));
    };
    if args.json {
        println!("{}", serde_json::to_string(&report).context("writing the report")?);
    } else if !report.ok {
        report.problems.iter().for_each(|problem| eprintln!("leno demo: {problem}"));
    }
    Ok(i32::from(!report.ok))
}

/// Runs for the time asked for; `None` when the user quit.
async fn watch(args: &DemoArgs, mesh: &mut Mesh) -> anyhow::Result<Option<Report>> {
    let started = Instant::now();
    let control = mesh.start_all(args).await?;
    if !args.json {
        eprintln!("leno demo: {} proxies up after {:.1} s", PARTS.len() + 1, started.elapsed().as_secs_f64());
    }
    let duration = args.duration.or(args.json.then_some(Duration::from_secs(20)));
    let mut screen = Screen::open(args.json);
    let result = observe(&control, duration, args.resources.is_none(), &mut screen).await;
    screen.close();
    result
}

async fn observe(
    control: &RunningControl,
    duration: Option<Duration>,
    own_rules: bool,
    screen: &mut Screen,
) -> anyhow::Result<Option<Report>> {
    let started = Instant::now();
    let mut before = BTreeMap::new();
    let mut looked = started;
    loop {
        let left = duration.map(|duration| duration.saturating_sub(started.elapsed()));
        tokio::time::sleep(left.map_or(REFRESH, |left| left.min(REFRESH))).await;
        let totals = control.totals().await;
        let status = control.api.status().await?;
        let refused = status.errors.first().cloned();
        let report = Report::new(&totals, status, own_rules);
        if duration.is_some_and(|duration| started.elapsed() >= duration) {
            return Ok(Some(report));
        }
        let seconds = looked.elapsed().as_secs_f64();
        looked = Instant::now();
        let rates = rates(&report, &mut before, seconds);
        let view = View {
            report: &report,
            rates,
            running: started.elapsed(),
            ejections: totals.ejections,
            retries: totals.retries,
            refused,
        };
        if screen.show(&view)? {
            return Ok(None);
        }
    }
}

fn rates(report: &Report, before: &mut BTreeMap<(String, String, String), u64>, seconds: f64) -> Vec<f64> {
    let mut rates = Vec::with_capacity(report.edges.len());
    for edge in &report.edges {
        let key = (edge.from.clone(), edge.to.clone(), edge.version.clone());
        let last = before.insert(key, edge.requests).unwrap_or(0);
        rates.push(edge.requests.saturating_sub(last) as f64 / seconds.max(0.001));
    }
    rates
}

/// The processes of the demo and where their files are.
struct Mesh {
    directory: PathBuf,
    inbox: ReadyInbox,
    children: Vec<(String, Child)>,
    /// Open as long as the children should live.
    inputs: Vec<ChildStdin>,
}

struct RunningControl {
    api: ControlApi,
    scraper: HttpClient,
    admins: Vec<String>,
}

impl RunningControl {
    /// What all proxies have counted; one that does not answer now is left out.
    async fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for admin in &self.admins {
            match self.scraper.fetch(admin, "localhost", "/stats/prometheus").await {
                Ok(reply) => totals.add(&String::from_utf8_lossy(&reply.body)),
                Err(error) => tracing::warn!(admin, error = format!("{error:#}"), "a proxy does not answer"),
            }
        }
        totals
    }
}

impl Mesh {
    async fn start_all(&mut self, args: &DemoArgs) -> anyhow::Result<RunningControl> {
        let control = self.start_control(args).await?;
        let address = |name: &str| {
            control
                .addresses
                .get(name)
                .cloned()
                .with_context(|| format!("the control plane did not say its {name} address"))
        };
        let api = ControlApi::new(address("api")?, &self.directory.join("control/admin-token"))?;
        let xds = address("xds")?;
        let accounts: Vec<_> = PARTS.iter().chain([&CUSTOMER]).map(|part| part.service).collect();
        let token = api.create_token(&accounts, 2 * accounts.len()).await?;

        for part in &PARTS {
            self.start_part(part, args, &xds, &token)?;
        }
        let mut admins = self.wait_for(PARTS.len()).await?;
        self.start_part(&CUSTOMER, args, &xds, &token)?;
        admins.extend(self.wait_for(1).await?);
        Ok(RunningControl { api, scraper: HttpClient::default(), admins })
    }

    async fn start_control(&mut self, args: &DemoArgs) -> anyhow::Result<Ready> {
        let resources = match &args.resources {
            Some(directory) => directory.clone(),
            None => {
                let directory = self.directory.join("resources");
                std::fs::create_dir_all(&directory).context("making the directory for routing files")?;
                std::fs::write(directory.join("shop.yaml"), resources::SHOP).context("writing the routing files")?;
                directory
            }
        };
        let data = self.directory.join("control");
        let mut arguments =
            words(&["control", "--xds", "127.0.0.1:0", "--api", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
        arguments.extend(["--exit-with-parent".into(), "--data".into(), data.into_os_string()]);
        arguments.extend(["--resources".into(), resources.into_os_string()]);
        arguments.extend(["--notify".into(), self.inbox.path().as_os_str().to_owned()]);
        self.spawn("control", &arguments, &[])?;
        self.next_ready().await
    }

    fn start_part(&mut self, part: &Part, args: &DemoArgs, xds: &str, token: &str) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("finding the leno program")?;
        let logs = self.directory.join("logs");
        let mut arguments = words(&["run", "--control", xds, "--service", part.service, "--version", part.version]);
        arguments.extend(words(&["--workload", part.name, "--label", &format!("track={}", part.track)]));
        arguments.extend(words(&["--drain-deadline", "3s", "--threads", "1"]));
        if part.service != CUSTOMER.service {
            arguments.extend(words(&["--port", "9080:http", "--app-address", "own"]));
        }
        arguments.extend(["--state".into(), self.directory.join("proxies").join(part.name).into_os_string()]);
        arguments.extend(["--access-log".into(), logs.join(format!("{}.access.log", part.name)).into_os_string()]);
        arguments.extend([
            "--notify".into(),
            self.inbox.path().as_os_str().to_owned(),
            "--".into(),
            program.into_os_string(),
        ]);
        arguments.extend(words(&["shop", part.service, "--version", part.version, "--rate", &args.rate.to_string()]));
        if part.failing {
            arguments.push("--failing".into());
        }
        self.spawn(part.name, &arguments, &[("LENO_JOIN_TOKEN", token)])
    }

    fn spawn(&mut self, name: &str, arguments: &[OsString], environment: &[(&str, &str)]) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("finding the leno program")?;
        let path = self.log_of(name);
        let log = std::fs::File::create(&path).with_context(|| format!("making {}", path.display()))?;
        let mut command = std::process::Command::new(program);
        command.args(arguments).envs(environment.iter().copied()).stdout(log.try_clone()?).stderr(log);
        // Ours is the one that a terminal's interrupt reaches; the others are told in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        leno_runtime::sys::die_with_parent(&mut command);
        let mut command = Command::from(command);
        // `--exit-with-parent` watches standard input.
        let mut child =
            command.stdin(std::process::Stdio::piped()).spawn().with_context(|| format!("starting {name}"))?;
        // Waiting for a child closes its standard input, so it must not be found there.
        self.inputs.extend(child.stdin.take());
        self.children.push((name.to_owned(), child));
        Ok(())
    }

    /// Admin addresses of the next `count` proxies to be ready.
    async fn wait_for(&mut self, count: usize) -> anyhow::Result<Vec<String>> {
        let mut admins = Vec::with_capacity(count);
        while admins.len() < count {
            let ready = self.next_ready().await?;
            admins.extend(ready.addresses.get("admin").cloned());
        }
        Ok(admins)
    }

    /// The next process to be ready, or why there will be none.
    async fn next_ready(&mut self) -> anyhow::Result<Ready> {
        let ended = first_to_end(&mut self.children);
        let name = tokio::select! {
            ready = tokio::time::timeout(START_LIMIT, self.inbox.next()) => {
                return ready.with_context(|| format!("not all processes were ready within {START_LIMIT:?}"))?;
            }
            name = ended => name,
        };
        let log = std::fs::read_to_string(self.log_of(&name)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(10)..].join("\n");
        anyhow::bail!("{name} ended at start; the end of its log:\n{last}")
    }

    fn log_of(&self, name: &str) -> PathBuf {
        self.directory.join("logs").join(format!("{name}.log"))
    }

    /// Callers first, the control plane last.
    async fn stop(&mut self) {
        let mut control = Vec::new();
        let deadline = Instant::now() + STOP_LIMIT;
        for (name, child) in std::mem::take(&mut self.children).into_iter().rev() {
            if name == "control" { control.push(child) } else { stop_child(child, deadline).await }
        }
        for child in control {
            stop_child(child, deadline).await;
        }
    }
}

async fn first_to_end(children: &mut [(String, Child)]) -> String {
    let waits = children.iter_mut().map(|(name, child)| {
        let name = name.clone();
        Box::pin(async move {
            // Whatever the status, it ended before its time.
            let _ = child.wait().await;
            name
        })
    });
    futures_util::future::select_all(waits).await.0
}

async fn stop_child(mut child: Child, deadline: Instant) {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // Ended already: nothing to stop.
        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
    }
    if tokio::time::timeout_at(deadline, child.wait()).await.is_err() {
        // It had its time; an error here means that it is gone after all.
        let _ = child.kill().await;
    }
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Where the live view goes.
enum Screen {
    Nowhere,
    Plain,
    Terminal(Box<ratatui::DefaultTerminal>),
}

impl Screen {
    fn open(quiet: bool) -> Self {
        if quiet {
            Self::Nowhere
        } else if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
            ratatui::try_init().map_or(Self::Plain, |terminal| Self::Terminal(Box::new(terminal)))
        } else {
            Self::Plain
        }
    }

    /// `true` when the user asked to quit.
    fn show(&mut self, view: &View<'_>) -> anyhow::Result<bool> {
        match self {
            Self::Nowhere => Ok(false),
            Self::Plain => {
                match std::io::stdout().write_all(view::plain(view).as_bytes()) {
                    // The reader has seen enough.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(true),
                    written => written.map(|()| false).context("writing to standard output"),
                }
            }
            Self::Terminal(terminal) => {
                terminal.draw(|frame| view::draw(frame, view)).context("drawing")?;
                quit_key()
            }
        }
    }

    fn close(self) {
        if let Self::Terminal(_) = self {
            ratatui::restore();
        }
    }
}

/// Looks at the keys pressed since the last look.
fn quit_key() -> anyhow::Result<bool> {
    use ratatui::crossterm::event::{Event, KeyCode, KeyModifiers, poll, read};
    while poll(Duration::ZERO).context("reading keys")? {
        if let Event::Key(key) = read().context("reading keys")? {
            let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
