use clap::ValueEnum;

/// What commands print whose answer is no table of objects.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Json,
    Text,
}
