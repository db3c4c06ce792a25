use std::fmt;
use std::sync::Arc;

use crate::Kind;
use crate::check;
use crate::document::{Document, documents};
use crate::resource::Resource;
use crate::tree::{Place, Tree, Value};
use crate::{crd, smi};

/// Something that was read, and from where.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    pub source: Arc<str>,
    /// Of the document's first value, from 1.
    pub line: usize,
    pub value: T,
}

/// All that a text holds.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// Documents without problems.
    pub resources: Vec<Located<Resource>>,
    pub problems: Vec<ParseProblem>,
    /// Objects that have nothing to do with the mesh.
    pub skipped: Vec<Skipped>,
}

/// One mistake. Shown as `file:line:column: field: message`.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct ParseProblem {
    pub source: String,
    /// From 1; 0 when the value did not come from text.
    pub line: usize,
    pub column: usize,
    /// `VirtualService default/reviews`, as far as it is known.
    pub object: String,
    /// `spec.http[0].route[0].destination.host`; empty for the whole document.
    pub field: String,
    /// Stable, for programs: `syntax`, `unknown_kind`, `unknown_field`, `wrong_type`, `invalid`, `schema`, `rule`; `file`
    /// when it cannot be read.
    pub code: &'static str,
    pub message: String,
}

/// What a problem's code may be.
pub(crate) mod code {
    /// No YAML.
    pub(crate) const SYNTAX: &str = "syntax";
    pub(crate) const UNKNOWN_KIND: &str = "unknown_kind";
    pub(crate) const UNKNOWN_FIELD: &str = "unknown_field";
    pub(crate) const WRONG_TYPE: &str = "wrong_type";
    /// Fits its type and still cannot be.
    pub(crate) const INVALID: &str = "invalid";
    /// Not as the kind's schema says.
    pub(crate) const SCHEMA: &str = "schema";
    /// Breaks a rule of the kind's schema.
    pub(crate) const RULE: &str = "rule";
}

impl fmt::Display for ParseProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.source.is_empty() {
            write!(f, "{}:", self.source)?;
        }
        if self.line > 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseProblem {}

/// An object of a kind that Leno has no use for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Skipped {
    pub source: String,
    pub line: usize,
    pub kind: String,
    pub name: String,
}

/// Groups whose objects are nothing to the mesh, whatever their kind.
const FOREIGN_GROUPS: [&str; 17] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apps",
    "argoproj.io",
    "autoscaling",
    "batch",
    "certmanager.k8s.io",
    "extensions",
    "install.istio.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "spire.spiffe.io",
    "storage.k8s.io",
    "networking.x-k8s.io",
    "coordination.k8s.io",
];

/// Kinds of the core group that are nothing to the mesh.
const KNOWN_UNUSED: [&str; 13] = [
    "ComponentStatus",
    "Endpoints",
    "Event",
    "LimitRange",
    "Node",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PodTemplate",
    "ReplicaSet",
    "ReplicationController",
    "ResourceQuota",
    "ServiceAccount",
];

/// Reads all documents of `text`, YAML or JSON. `source` is what problems call the file.
pub fn parse(source: &str, text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    for document in documents(source, text) {
        match document {
            Ok(document) => read_document(&document, &mut parsed),
            Err(problem) => parsed.problems.push(problem),
        }
    }
    parsed
}

/// The documents of a stream that can be read at all, and what is wrong with the others.
pub(crate) fn trees(source: &str, text: &str) -> Vec<Result<Tree, ParseProblem>> {
    let mut all = Vec::new();
    for (first_line, document) in split(text) {
        let tree = serde_saphyr::from_str::<Tree>(&document);
        all.push(tree.map_err(|error| syntax_problem(source, first_line, &error)));
        if let Some(Ok(tree)) = all.last_mut() {
            tree.shift(first_line);
        }
    }
    all
}

/// The documents of a stream and the number of lines before each. A `---` at the start of a line ends a document
/// wherever it stands (YAML 1.2 §9.1.2), so a broken document does not hide the next.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut all = vec![(0, String::new())];
    for (number, line) in text.lines().enumerate() {
        let rest = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if rest.is_some() {
            all.push((number, String::new()));
        }
        if let Some((_, document)) = all.last_mut() {
            document.push_str(rest.map_or_else(|| line.to_owned(), |rest| format!("   {rest}")).trim_end());
            document.push('\n');
        }
    }
    all.retain(|(_, document)| {
        document.lines().any(|line| !matches!(line.trim_start().chars().next(), None | Some('#')))
    });
    all
}

fn syntax_problem(source: &str, first_line: usize, error: &serde_saphyr::Error) -> ParseProblem {
    let place = error.location().map_or_else(Place::default, |location| Place {
        line: usize::try_from(location.line()).unwrap_or(usize::MAX).saturating_add(first_line),
        column: usize::try_from(location.column()).unwrap_or(usize::MAX),
    });
    let text = error.without_snippet().to_string();
    let message = match text.lines().next().unwrap_or_default() {
        text if text.starts_with("budget breached: Nodes") => {
            "too many values for one document, with anchors counted wherever they are used; at most 250000 \
             (a longer one is split by lines of ---)"
                .to_owned()
        }
        text if text.starts_with("budget breached: Depth") || text.starts_with("recursion limit") => {
            "nested too deeply".to_owned()
        }
        text => match text.strip_prefix("duplicate mapping key: ").and_then(|rest| rest.split_once(", set ")) {
            Some((key, _)) => format!("`{key}` is there twice"),
            None => format!("not readable as YAML: {text}"),
        },
    };
    ParseProblem {
        source: source.to_owned(),
        line: place.line.max(first_line + 1),
        column: place.column.max(1),
        object: String::new(),
        field: String::new(),
        code: code::SYNTAX,
        message,
    }
}

fn read_document(document: &Document, parsed: &mut Parsed) {
    let source = document.source();
    if is_foreign(document) {
        parsed.skipped.push(Skipped {
            source: source.to_string(),
            line: document.start().line,
            kind: document.kind().to_owned(),
            name: document.name().to_owned(),
        });
        return;
    }
    match read(document) {
        Ok(value) => parsed.resources.push(Located { source: source.clone(), line: document.start().line, value }),
        Err(problems) => parsed.problems.extend(problems),
    }
}

/// The resource that a document is.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(document: &Document) -> Result<Resource, Vec<ParseProblem>> {
    read_one(document.source(), &document.tree)
}

/// Whether a document is an object of a kind that the mesh has no use for.
pub fn is_foreign(document: &Document) -> bool {
    let (kind, group) = (document.kind(), document.group());
    let skaffold = group == "skaffold" && kind == "Config";
    !kind.is_empty() && (FOREIGN_GROUPS.contains(&group) || skaffold || KNOWN_UNUSED.contains(&kind))
}

/// One document that should be a resource.
pub(crate) fn read_one(source: &str, tree: &Tree) -> Result<Resource, Vec<ParseProblem>> {
    let object = describe(tree);
    let kind = kind_of(tree);
    let modern = kind.as_ref().ok().and_then(|kind| smi::modern(*kind, tree));
    let tree = modern.as_ref().unwrap_or(tree);
    let problem = |code: &'static str, field: &str, message: String| {
        // What is wrong with a name is the name; else it is the value.
        let value = if code == code::UNKNOWN_FIELD { None } else { tree.value_place_of(field) };
        let place = value.unwrap_or_else(|| tree.place_of(field));
        let (line, column, object) = (place.line, place.column, object.clone());
        ParseProblem { source: source.to_owned(), line, column, object, field: field.to_owned(), code, message }
    };
    let kind = kind.map_err(|(field, message)| vec![problem(code::UNKNOWN_KIND, field, message)])?;
    let (resource, findings) = typed(kind, tree);
    if findings.is_empty() {
        return Ok(resource);
    }
    let mut problems: Vec<_> = findings.into_iter().map(|found| problem(found.0, &found.1, found.2)).collect();
    problems.sort_by(|a, b| (a.line, a.column, &a.field).cmp(&(b.line, b.column, &b.field)));
    Err(problems)
}

fn typed(kind: Kind, tree: &Tree) -> (Resource, Vec<(&'static str, String, String)>) {
    let (resource, findings) = Resource::read(kind, tree);
    let code_of = |message: &str| {
        if message.starts_with("unknown field") { code::UNKNOWN_FIELD } else { code::WRONG_TYPE }
    };
    let mut all: Vec<_> =
        findings.into_iter().map(|finding| (code_of(&finding.message), finding.path, finding.message)).collect();
    // A field that could not be read looks missing: one complaint for it is enough.
    let mut checked: Vec<_> =
        check::check(&resource).into_iter().map(|(path, message)| (code::INVALID, path, message)).collect();
    checked.extend(crd::check(kind, tree).into_iter().map(|(code, found)| (code, found.path, found.message)));
    for (code, path, message) in checked {
        let leaf = path.rsplit('.').next().unwrap_or_default();
        let meant = format!("did you mean `{leaf}`");
        let explained = |(_, found, message): &(&str, String, String)| {
            path.starts_with(found.as_str()) || found.starts_with(&path) || message.contains(&meant)
        };
        if !all.iter().any(explained) {
            all.push((code, path, message));
        }
    }
    (resource, all)
}

fn describe(tree: &Tree) -> String {
    let metadata = |key| tree.get("metadata").and_then(|metadata| metadata.text(key));
    match (tree.text("kind"), metadata("name")) {
        (Some(kind), Some(name)) => {
            format!("{kind} {}/{name}", metadata("namespace").unwrap_or(crate::DEFAULT_NAMESPACE))
        }
        (Some(kind), None) => kind.to_owned(),
        _ => String::new(),
    }
}

fn kind_of(tree: &Tree) -> Result<Kind, (&'static str, String)> {
    if !matches!(tree.value, Value::Map(_)) {
        return Err(("", format!("expected an object with apiVersion and kind, found {}", tree.value.describe())));
    }
    let Some(word) = tree.text("kind") else { return Err(("kind", "required field is missing".to_owned())) };
    let same_word: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.as_str() == word).collect();
    if same_word.is_empty() {
        let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        return Err(("kind", crate::tree::unknown("kind", word, &names)));
    }
    let Some(version) = tree.text("apiVersion") else {
        return Err(("apiVersion", "required field is missing".to_owned()));
    };
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let Some(kind) = same_word.iter().copied().find(|kind| kind.group() == group) else {
        let versions: Vec<_> = same_word.iter().flat_map(|kind| kind.api_versions()).collect();
        let versions: Vec<_> = versions.iter().map(String::as_str).collect();
        return Err(("apiVersion", crate::tree::unknown("version", version, &versions)));
    };
    let versions = kind.api_versions();
    if versions.iter().any(|known| known == version) {
        Ok(kind)
    } else {
        let versions: Vec<_> = versions.iter().map(String::as_str).collect();
        Err(("apiVersion", crate::tree::unknown("version", version, &versions)))
    }
}
