use std::collections::HashMap;

use axum::extract::Query;
use axum::http::Uri;
use leno_store::Mode;

use crate::ApiError;
use crate::selector::Selector;

/// What stands behind the `?`. Names that are not known are passed over, as Kubernetes does.
#[derive(Debug, Default)]
pub(crate) struct Parameters(HashMap<String, String>);

impl Parameters {
    /// # Errors
    /// What is no query.
    pub(crate) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let query = Query::try_from_uri(uri).map_err(|rejection| ApiError::bad_request(rejection.body_text()))?;
        Ok(Self(query.0))
    }

    /// Empty when it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// # Errors
    /// Neither true nor false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.text(name) {
            "" | "0" | "false" => Ok(false),
            "1" | "true" => Ok(true),
            other => Err(ApiError::bad_request(format!("{name}: true or false is wanted, not \"{other}\""))),
        }
    }

    /// `None` when it is not there, or 0.
    ///
    /// # Errors
    /// No number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        match self.text(name) {
            "" => Ok(None),
            text => text
                .parse()
                .map(|number| Some(number).filter(|number| *number > 0))
                .map_err(|_| ApiError::bad_request(format!("{name}: a number is wanted, not \"{text}\""))),
        }
    }

    pub(crate) fn selector(&self) -> Result<Selector, ApiError> {
        Selector::parse(self.text("labelSelector"), self.text("fieldSelector"))
    }

    /// # Errors
    /// A value that Kubernetes does not know either.
    pub(crate) fn mode(&self) -> Result<Mode, ApiError> {
        match self.text("dryRun") {
            "" => Ok(Mode::Write),
            "All" => Ok(Mode::DryRun),
            other => Err(ApiError::bad_request(format!("dryRun: only All is known, not \"{other}\""))),
        }
    }
}
