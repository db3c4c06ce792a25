use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context;
use clap::{Args, ValueEnum};
use leno_analyze::{Finding, Level, Objects, Suppression};
use leno_api::Document;

use crate::connection::ConnectionArgs;
use crate::files::{self, Input};
use crate::live;
use crate::loaded::Loaded;
use crate::misuse::Misuse;
use crate::problem::FileProblem;
use crate::report::{Format, Report};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples: leno analyze routes/\n          leno analyze -A                # the running mesh\n          leno analyze -f new.yaml --with-mesh -o sarif\n\nExit code: 0 nothing at or above --failure-threshold, 1 something, 2 misused."
)]
pub struct AnalyzeArgs {
    /// Files, directories with all below them, or - for standard input. Without any the running mesh is analysed.
    #[arg(value_name = "FILE|DIR|-")]
    paths: Vec<PathBuf>,
    /// The same as an option. Repeatable.
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    file: Vec<PathBuf>,
    /// Objects of another cluster, to compare. Repeatable.
    #[arg(long, value_name = "NAME=FILE|DIR")]
    cluster: Vec<String>,
    /// Take objects of the running mesh too; those in files win.
    #[arg(long)]
    with_mesh: bool,
    /// Istio's MeshConfig. Default: the ConfigMap `istio`.
    #[arg(long, value_name = "FILE")]
    mesh_config: Option<PathBuf>,
    /// Istio's MeshNetworks.
    #[arg(long, value_name = "FILE")]
    mesh_networks: Option<PathBuf>,
    /// Tell only of this namespace; objects that name none are in it.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Tell of all namespaces, as without --namespace.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Do not tell of CODE on objects such as `Pod *` or `HTTPRoute shop/cart`. Repeatable.
    #[arg(short = 'S', long, value_name = "CODE=OBJECT")]
    suppress: Vec<Suppression>,
    /// Run only these analyses. Repeatable.
    #[arg(long, value_name = "NAME")]
    analyzer: Vec<String>,
    /// List the analyses and the codes, and end.
    #[arg(short = 'L', long)]
    list_analyzers: bool,
    /// From which level on the exit code is 1.
    #[arg(long, value_enum, default_value_t = Threshold::Error, value_name = "LEVEL")]
    failure_threshold: Threshold,
    /// From which level on findings are told.
    #[arg(long, value_enum, default_value_t = Threshold::Info, value_name = "LEVEL")]
    output_threshold: Threshold,
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
enum Threshold {
    Error,
    Warning,
    Info,
}

impl Threshold {
    fn of(severity: &str) -> Self {
        match severity {
            "error" => Self::Error,
            "warning" => Self::Warning,
            _ => Self::Info,
        }
    }
}

pub(crate) async fn run(args: AnalyzeArgs) -> anyhow::Result<i32> {
    if args.list_analyzers {
        leno_analyze::analyses().for_each(|name| println!("{name}"));
        leno_analyze::CODES.iter().for_each(|code| println!("{}  {:7}  {}", code.id, code.level.as_str(), code.about));
        return Ok(0);
    }
    let paths: Vec<_> = args.paths.iter().chain(&args.file).cloned().collect();
    let mut inputs = if paths.is_empty() { Vec::new() } else { files::read(&paths)? };
    let own = inputs.len();
    if args.with_mesh || (paths.is_empty() && args.cluster.is_empty()) {
        inputs.extend(live::inputs(&args.connection).await?);
    }
    let (objects, problems) = analyze(&args, &mut inputs, own)?;
    let problems: Vec<_> =
        problems.into_iter().filter(|one| Threshold::of(&one.severity) <= args.output_threshold).collect();
    let report = Report { inputs: &inputs, objects, problems: &problems };
    report.print(args.output);
    let fails = problems.iter().any(|one| Threshold::of(&one.severity) <= args.failure_threshold);
    Ok(i32::from(fails))
}

/// How many objects there are, and what is found. Inputs from `own` on are of the running mesh.
fn analyze(args: &AnalyzeArgs, inputs: &mut Vec<Input>, own: usize) -> anyhow::Result<(usize, Vec<FileProblem>)> {
    let namespace = args.namespace.as_deref().unwrap_or(leno_api::DEFAULT_NAMESPACE);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut objects = Objects::new(i64::try_from(now).unwrap_or(i64::MAX));
    let (files, mesh) = inputs.split_at(own);
    let loaded = Loaded::of(files);
    let mut documents: Vec<(usize, Document)> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut take = |objects: &mut Objects, document: Document, cluster: &str| {
        // What is there twice is told as such, and is no rival of itself.
        let name = format!("{} {} {:?} {}", document.group(), document.kind(), document.namespace(), document.name());
        if !document.name().is_empty() && !seen.insert((cluster.to_owned(), name)) {
            return;
        }
        documents.push((objects.add(&document, namespace, cluster), document));
    };
    let named = |document: &Document| (document.group().to_owned(), document.kind().to_owned(), document.describe());
    let written: BTreeSet<_> = loaded.documents.iter().map(named).collect();
    loaded.documents.into_iter().for_each(|document| take(&mut objects, document, ""));
    for document in Loaded::of(mesh).documents.into_iter().filter(|document| !written.contains(&named(document))) {
        take(&mut objects, document, "");
    }
    let mut problems = loaded.problems;
    for cluster in &args.cluster {
        let (name, path) = cluster
            .split_once('=')
            .ok_or_else(|| Misuse::error(format!("--cluster is NAME=FILE or NAME=DIR, not \"{cluster}\"")))?;
        let more = files::read(&[PathBuf::from(path)])?;
        let loaded = Loaded::of(&more);
        problems.extend(loaded.problems);
        loaded.documents.into_iter().for_each(|document| take(&mut objects, document, name));
        inputs.extend(more);
    }
    let mut own_file = |path: &Option<PathBuf>| -> anyhow::Result<Option<Document>> {
        let Some(path) = path else { return Ok(None) };
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let source = path.display().to_string();
        let document = leno_api::documents(&source, &text).into_iter().flatten().next();
        inputs.push(Input { source, text });
        Ok(document)
    };
    if let Some(document) = own_file(&args.mesh_config)? {
        objects.set_mesh_config(&document);
    }
    if let Some(document) = own_file(&args.mesh_networks)? {
        documents.push((objects.add_mesh_networks(&document), document));
    }
    objects.add_defaults();
    for problem in &mut problems {
        // Istio's code for everything that a schema finds.
        problem.code = "IST0106".to_owned();
    }
    let findings = findings(args, &objects)?;
    problems.extend(findings.iter().map(|finding| placed(finding, &objects, &documents)));
    problems.sort();
    problems.dedup();
    Ok((documents.len(), problems))
}

fn findings(args: &AnalyzeArgs, objects: &Objects) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for name in &args.analyzer {
        let of = leno_analyze::run(name, objects);
        findings.extend(of.ok_or_else(|| Misuse::error(format!("there is no analysis {name}; -L lists them")))?);
    }
    if args.analyzer.is_empty() {
        findings = leno_analyze::analyze(objects);
    }
    findings.retain(|finding| {
        let Some(object) = objects.object(finding.object) else { return false };
        let is_meant = args.namespace.as_ref().is_none_or(|meant| ["", meant].contains(&object.namespace.as_str()));
        is_meant
            && !objects.is_suppressed(finding)
            && !args.suppress.iter().any(|suppression| suppression.covers(finding, object))
    });
    Ok(findings)
}

fn placed(finding: &Finding, objects: &Objects, documents: &[(usize, Document)]) -> FileProblem {
    let document = documents.iter().find(|(index, _)| *index == finding.object).map(|(_, document)| document);
    let place = document.map(
        |document| {
            if finding.field.is_empty() { document.start() } else { document.place(&finding.field) }
        },
    );
    FileProblem {
        source: document.map(|document| document.source().to_string()).unwrap_or_default(),
        line: place.map_or(0, |place| place.line),
        column: place.map_or(0, |place| place.column),
        object: objects.object(finding.object).map(leno_analyze::Object::describe).unwrap_or_default(),
        field: finding.field.clone(),
        code: finding.code.id.to_owned(),
        message: finding.message.clone(),
        severity: match finding.code.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "info",
        }
        .to_owned(),
    }
}
