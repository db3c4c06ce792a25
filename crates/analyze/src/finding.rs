/// How much a finding matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    Error,
    Warning,
    Info,
}

impl Level {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What can be found. Codes never change their meaning.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Code {
    /// `IST0101` as Istio numbers them, `LEN0001` for our own.
    pub id: &'static str,
    pub level: Level,
    /// One sentence.
    pub about: &'static str,
}

/// Something about an object that its author should know.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// Index of the object.
    pub object: usize,
    pub code: Code,
    /// `spec.http[0].route[0].destination.host`; empty for the whole object.
    pub field: String,
    pub message: String,
}

/// All findings so far.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    pub(crate) fn report(
        &mut self,
        object: &crate::Object,
        code: Code,
        field: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.0.push(Finding { object: object.index, code, field: field.into(), message: message.into() });
    }
}
