use std::path::PathBuf;

use clap::Args;
use leno_names::TrustDomain;

use crate::files::{self, Input};
use crate::loaded::Loaded;
use crate::mesh::Mesh;
use crate::problem::FileProblem;
use crate::report::{Format, Report};

#[derive(Debug, Args)]
#[command(
    after_help = "Example: leno validate -f routes/\n\nExit code: 0 no errors, 1 errors (with --strict: or warnings), 2 misused."
)]
pub struct ValidateArgs {
    /// File, directory, or - for standard input. Repeatable.
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    file: Vec<PathBuf>,
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Warnings count as errors.
    #[arg(long)]
    strict: bool,
    /// The trust domain of the mesh.
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    trust_domain: TrustDomain,
}

pub(crate) fn run(args: &ValidateArgs) -> anyhow::Result<i32> {
    let inputs = files::read(&args.file)?;
    let (objects, problems) = check(&inputs, &args.trust_domain);
    let report = Report { inputs: &inputs, objects, problems: &problems };
    report.print(args.output);
    Ok(i32::from(report.count("error") > 0 || (args.strict && report.count("warning") > 0)))
}

/// How many objects there are, and what is wrong with them as a mesh of their own, by place.
pub(crate) fn check(inputs: &[Input], trust_domain: &TrustDomain) -> (usize, Vec<FileProblem>) {
    let mut loaded = Loaded::of(inputs);
    let mut problems = std::mem::take(&mut loaded.problems);
    let mesh = Mesh::of(&loaded.resources, trust_domain);
    problems.extend(mesh.problems.iter().map(|problem| loaded.placed(problem)));
    problems.sort();
    problems.dedup();
    (loaded.resources.len(), problems)
}
