use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use leno_api::{Document, Resource, ResourceKey};

use crate::files::Input;
use crate::problem::FileProblem;

/// The objects of some files, with what is wrong with each alone.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Everything that is an object, also of kinds that the mesh has no use for.
    pub(crate) documents: Vec<Document>,
    /// The objects of the mesh that nothing is wrong with.
    pub(crate) resources: Vec<Arc<Resource>>,
    pub(crate) problems: Vec<FileProblem>,
    /// Index into `documents` and `resources`.
    places: BTreeMap<ResourceKey, (usize, usize)>,
}

impl Loaded {
    pub(crate) fn of(inputs: &[Input]) -> Self {
        let mut loaded = Self::default();
        for input in inputs {
            for document in leno_api::documents(&input.source, &input.text) {
                match document {
                    Ok(document) => loaded.take(document),
                    Err(problem) => loaded.problems.push(problem.into()),
                }
            }
        }
        loaded
    }

    /// The same; what is wrong is printed for whoever reads the terminal.
    pub(crate) fn told(inputs: &[Input]) -> Self {
        let loaded = Self::of(inputs);
        for problem in &loaded.problems {
            eprintln!("{problem}");
        }
        loaded
    }

    fn take(&mut self, document: Document) {
        match leno_api::read(&document) {
            _ if leno_api::is_foreign(&document) => {}
            Ok(resource) => {
                let key = resource.key();
                if let Some(first) = self.document(&key) {
                    let message = format!("already written at {}:{}", first.source(), first.start().line);
                    self.problems.push(at(&document, &key, "metadata.name", "duplicate", "error", message));
                } else {
                    self.places.insert(key, (self.documents.len(), self.resources.len()));
                    self.resources.push(Arc::new(resource).at(SystemTime::now()));
                }
            }
            Err(problems) => self.problems.extend(problems.into_iter().map(FileProblem::from)),
        }
        self.documents.push(document);
    }

    pub(crate) fn document(&self, key: &ResourceKey) -> Option<&Document> {
        self.documents.get(self.places.get(key)?.0)
    }

    pub(crate) fn resource(&self, key: &ResourceKey) -> Option<&Arc<Resource>> {
        self.resources.get(self.places.get(key)?.1)
    }

    /// Takes over the objects that are not here, as where these are applied.
    pub(crate) fn add_missing(&mut self, others: &Self) {
        for resource in &others.resources {
            let key = resource.key();
            if let Some(document) = others.document(&key)
                && self.resource(&key).is_none()
            {
                self.places.insert(key, (self.documents.len(), self.resources.len()));
                self.documents.push(document.clone());
                self.resources.push(resource.clone());
            }
        }
    }

    /// A problem of the mesh that the objects make, with its place.
    pub(crate) fn placed(&self, problem: &leno_model::Problem) -> FileProblem {
        let severity = match problem.severity {
            leno_model::Severity::Error => "error",
            leno_model::Severity::Warning => "warning",
        };
        let message = problem.message.clone();
        match self.document(&problem.object) {
            Some(document) => at(document, &problem.object, &problem.field, problem.code, severity, message),
            None => FileProblem {
                object: problem.object.to_string(),
                field: problem.field.clone(),
                code: problem.code.to_owned(),
                severity: severity.to_owned(),
                message,
                ..FileProblem::default()
            },
        }
    }
}

fn at(document: &Document, key: &ResourceKey, field: &str, code: &str, severity: &str, message: String) -> FileProblem {
    let place = if field.is_empty() { document.start() } else { document.place(field) };
    FileProblem {
        source: document.source().to_string(),
        line: place.line,
        column: place.column,
        object: key.to_string(),
        field: field.to_owned(),
        code: code.to_owned(),
        message,
        severity: severity.to_owned(),
    }
}
