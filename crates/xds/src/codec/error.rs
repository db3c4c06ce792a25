/// A resource that cannot be used, and the field it is about.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct DecodeError {
    /// `filter_chains[0].filters[0].typed_config.route_config`; empty for the whole resource.
    pub field: String,
    pub reason: String,
}

impl DecodeError {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    pub(crate) fn unsupported(field: impl Into<String>) -> Self {
        Self::new(field, "is not supported")
    }
}

/// Refuses a message in which one of these fields is set, because leaving it out would change what happens.
macro_rules! refuse {
    ($message:expr, $($field:ident),+ $(,)?) => {
        $(if $crate::codec::error::is_set(&$message.$field) {
            return Err($crate::codec::error::DecodeError::unsupported(stringify!($field)));
        })+
    };
}
pub(super) use refuse;

pub(super) fn is_set<T: Default + PartialEq>(field: &T) -> bool {
    *field != T::default()
}

pub(super) type Result<T> = std::result::Result<T, DecodeError>;

/// Puts the place of a part before the places inside it.
pub(super) trait At<T> {
    fn at(self, field: &str) -> Result<T>;
    fn at_index(self, field: &str, index: usize) -> Result<T>;
}

impl<T> At<T> for Result<T> {
    fn at(self, field: &str) -> Self {
        self.map_err(|mut error| {
            error.field = match error.field.as_str() {
                "" => field.to_owned(),
                inner => format!("{field}.{inner}"),
            };
            error
        })
    }

    fn at_index(self, field: &str, index: usize) -> Self {
        self.at(&format!("{field}[{index}]"))
    }
}
