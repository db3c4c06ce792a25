use std::fmt;
use std::sync::Arc;

use crate::Kind;
use crate::check::{self, Checked};
use crate::crd;
use crate::resource::Resource;
use crate::tree::{Place, Tree, Value};

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
    pub message: String,
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
    parse_each(source, text, &mut |_| {})
}

/// The same, and for each of the resources the document as it was written: what a resource becomes as JSON leaves out fields
/// that hold their default.
pub fn parse_documents(source: &str, text: &str) -> (Parsed, Vec<serde_json::Value>) {
    let mut documents = Vec::new();
    let parsed = parse_each(source, text, &mut |tree| documents.push(tree.to_json()));
    (parsed, documents)
}

fn parse_each(source: &str, text: &str, taken: &mut dyn FnMut(&Tree)) -> Parsed {
    let mut parsed = Parsed::default();
    let shared: Arc<str> = source.into();
    for (first_line, document) in documents(text) {
        match serde_saphyr::from_str::<Tree>(&document) {
            Ok(mut tree) => {
                tree.shift(first_line);
                read_document(&shared, &tree, &mut parsed, taken);
            }
            Err(error) => parsed.problems.push(syntax_problem(source, first_line, &error)),
        }
    }
    parsed
}

/// The documents of a stream and the number of lines before each. A `---` at the start of a line ends a document
/// wherever it stands (YAML 1.2 §9.1.2), so a broken document does not hide the next.
fn documents(text: &str) -> Vec<(usize, String)> {
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
        message,
    }
}

fn read_document(source: &Arc<str>, tree: &Tree, parsed: &mut Parsed, taken: &mut dyn FnMut(&Tree)) {
    if tree.value == Value::Null {
        return;
    }
    if tree.text("kind") == Some("List") {
        if let Some(Tree { value: Value::List(items), .. }) = tree.get("items") {
            items.iter().for_each(|item| read_document(source, item, parsed, taken));
        }
        return;
    }
    if let Some(skipped) = foreign(source, tree) {
        parsed.skipped.push(skipped);
        return;
    }
    match read_one(source, tree) {
        Ok(value) => {
            parsed.resources.push(Located { source: source.clone(), line: tree.place.line, value });
            taken(tree);
        }
        Err(problems) => parsed.problems.extend(problems),
    }
}

fn foreign(source: &str, tree: &Tree) -> Option<Skipped> {
    let kind = tree.text("kind")?;
    let group = tree.text("apiVersion").map_or("", |version| version.split_once('/').map_or("", |(group, _)| group));
    let skaffold = group == "skaffold" && kind == "Config";
    let unused = KNOWN_UNUSED.contains(&kind);
    (FOREIGN_GROUPS.contains(&group) || skaffold || unused).then(|| Skipped {
        source: source.to_owned(),
        line: tree.place.line,
        kind: kind.to_owned(),
        name: tree.get("metadata").and_then(|metadata| metadata.text("name")).unwrap_or_default().to_owned(),
    })
}

/// One document that should be a resource.
pub(crate) fn read_one(source: &str, tree: &Tree) -> Result<Resource, Vec<ParseProblem>> {
    let object = describe(tree);
    let problem = |field: &str, message: String| {
        let place = tree.place_of(field);
        let (line, column, object) = (place.line, place.column, object.clone());
        ParseProblem { source: source.to_owned(), line, column, object, field: field.to_owned(), message }
    };
    let kind = kind_of(tree).map_err(|(field, message)| vec![problem(field, message)])?;
    let (resource, findings) = typed(kind, tree);
    if findings.is_empty() {
        return Ok(resource);
    }
    let mut problems: Vec<_> = findings.into_iter().map(|(field, message)| problem(&field, message)).collect();
    problems.sort_by(|a, b| (a.line, a.column, &a.field).cmp(&(b.line, b.column, &b.field)));
    Err(problems)
}

fn typed(kind: Kind, tree: &Tree) -> (Resource, Vec<(String, String)>) {
    let (resource, findings) = Resource::read(kind, tree);
    let mut all: Vec<_> = findings.into_iter().map(|finding| (finding.path, finding.message)).collect();
    // A field that could not be read looks missing: one complaint for it is enough.
    let mut checked: Checked = check::check(&resource);
    checked.extend(crd::check(kind, tree).into_iter().map(|finding| (finding.path, finding.message)));
    for (path, message) in checked {
        let leaf = path.rsplit('.').next().unwrap_or_default();
        let meant = format!("did you mean `{leaf}`");
        let explained = |(found, message): &(String, String)| {
            path.starts_with(found.as_str()) || found.starts_with(&path) || message.contains(&meant)
        };
        if !all.iter().any(explained) {
            all.push((path, message));
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
