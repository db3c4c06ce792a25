use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use leno_api::{Resource, ResourceKey};
use leno_compile::Compiler;
use leno_model::{MeshSettings, Problem, Severity, Snapshot};
use leno_names::TrustDomain;

use crate::files::{self, Input};
use crate::problem::FileProblem;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: leno validate -f routes/\n\nExit code: 0 no errors, 1 errors (with --strict: or warnings), 2 misused."
)]
pub struct ValidateArgs {
    /// File, directory, or - for standard input. Repeatable.
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    file: Vec<PathBuf>,
    /// Warnings count as errors.
    #[arg(long)]
    strict: bool,
    /// The trust domain of the mesh.
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    trust_domain: TrustDomain,
}

pub(crate) fn run(args: &ValidateArgs) -> anyhow::Result<i32> {
    let inputs = files::read(&args.file)?;
    let (count, problems) = check(&inputs, &args.trust_domain);
    for problem in &problems {
        println!("{problem}");
    }
    let errors = problems.iter().filter(|problem| problem.severity == "error").count();
    let warnings = problems.len() - errors;
    eprintln!("{count} objects, {errors} errors, {warnings} warnings");
    Ok(i32::from(errors > 0 || (args.strict && warnings > 0)))
}

/// How many objects there are, and what is wrong with them as a mesh of their own, by place.
pub(crate) fn check(inputs: &[Input], trust_domain: &TrustDomain) -> (usize, Vec<FileProblem>) {
    let mut problems = Vec::new();
    let mut places: BTreeMap<ResourceKey, (String, usize)> = BTreeMap::new();
    let mut resources = Vec::new();
    for input in inputs {
        let parsed = leno_api::parse(&input.source, &input.text);
        problems.extend(parsed.problems.into_iter().map(parse_problem));
        for located in parsed.resources {
            let key = located.value.key();
            let place = (located.source.to_string(), located.line);
            if let Some((source, line)) = places.get(&key) {
                problems.push(duplicate(&key, &place, source, *line));
                continue;
            }
            places.insert(key, place);
            resources.push(Arc::new(located.value));
        }
    }
    problems.extend(mesh_problems(&resources, trust_domain).into_iter().map(|problem| {
        let (source, line) = places.get(&problem.object).cloned().unwrap_or_default();
        FileProblem {
            source,
            line,
            column: usize::from(line > 0),
            object: problem.object.to_string(),
            field: problem.field,
            message: problem.message,
            severity: if problem.severity == Severity::Error { "error" } else { "warning" }.to_owned(),
        }
    }));
    problems.sort();
    problems.dedup();
    (resources.len(), problems)
}

fn mesh_problems(resources: &[Arc<Resource>], trust_domain: &TrustDomain) -> Vec<Problem> {
    // Any numbers will do: nothing is bound.
    let indices = leno_model::service_keys(resources).into_iter().zip(256..).collect();
    let settings = MeshSettings::new(trust_domain.clone());
    let (snapshot, mut problems) = Snapshot::build(resources, &settings, &indices);
    let mut compiler = Compiler::new();
    compiler.update(&Arc::new(snapshot));
    problems.extend(compiler.problems());
    problems
}

fn parse_problem(problem: leno_api::ParseProblem) -> FileProblem {
    FileProblem {
        source: problem.source,
        line: problem.line,
        column: problem.column,
        object: problem.object,
        field: problem.field,
        message: problem.message,
        severity: "error".to_owned(),
    }
}

fn duplicate(key: &ResourceKey, place: &(String, usize), source: &str, line: usize) -> FileProblem {
    FileProblem {
        source: place.0.clone(),
        line: place.1,
        column: 1,
        object: key.to_string(),
        field: "metadata.name".to_owned(),
        message: format!("already written at {source}:{line}"),
        severity: "error".to_owned(),
    }
}
