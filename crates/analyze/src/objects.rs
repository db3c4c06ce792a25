use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::json::{Labels, labels, text, yaml};
use crate::kinds::{self, Kind};

/// Where Istio's own objects live, unless the mesh configuration says otherwise.
const ISTIO_SYSTEM: &str = "istio-system";

/// One object, read leniently: any kind, any fields.
#[derive(Clone, Debug)]
pub struct Object {
    pub(crate) index: usize,
    pub group: String,
    pub kind: String,
    /// Empty for objects of the cluster.
    pub namespace: String,
    pub name: String,
    /// Which of several clusters it is in; empty when there is one.
    pub cluster: String,
    pub json: Value,
}

impl Object {
    /// `VirtualService default/reviews`.
    pub fn describe(&self) -> String {
        match self.namespace.as_str() {
            "" => format!("{} {}", self.kind, self.name),
            namespace => format!("{} {namespace}/{}", self.kind, self.name),
        }
    }

    pub(crate) fn full_name(&self) -> String {
        if self.namespace.is_empty() { self.name.clone() } else { format!("{}/{}", self.namespace, self.name) }
    }

    /// With the label that Kubernetes gives each namespace.
    pub(crate) fn labels(&self) -> Labels {
        let mut all = labels(&self.json, "metadata.labels");
        if self.is(kinds::NAMESPACE) {
            all.insert("kubernetes.io/metadata.name".to_owned(), self.name.clone());
        }
        all
    }

    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.json.get("metadata")?.get("labels")?.get(name)?.as_str()
    }

    /// Annotations as text.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.json.get("metadata")?.get("annotations")?.get(name)?.as_str()
    }

    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.group == kind.0 && self.kind == kind.1
    }
}

/// Indices of objects.
#[derive(Clone, Debug, Default)]
struct OfKind {
    all: Vec<usize>,
    /// By namespace and name; of several clusters the first.
    by_name: BTreeMap<(String, String), usize>,
}

/// All that analysis looks at.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    all: Vec<Object>,
    by_kind: BTreeMap<(String, String), OfKind>,
    /// Istio's MeshConfig, of a file or of the ConfigMap `istio`.
    pub(crate) mesh: Value,
    /// Seconds since 1970; certificates end.
    pub(crate) now: i64,
}

impl Objects {
    /// `now` in seconds since 1970.
    pub fn new(now: i64) -> Self {
        Self { now, ..Self::default() }
    }

    /// Objects that name no namespace are in `namespace`. The value is the object's index, which findings name.
    pub fn add(&mut self, document: &leno_api::Document, namespace: &str, cluster: &str) -> usize {
        self.push(document.group(), document.kind(), document.to_json(), namespace, cluster)
    }

    fn push(&mut self, group: &str, kind: &str, json: Value, namespace: &str, cluster: &str) -> usize {
        let index = self.all.len();
        let namespace = match text(&json, "metadata.namespace") {
            _ if kinds::OF_CLUSTER.contains(&(group, kind)) => "",
            "" => namespace,
            written => written,
        };
        let object = Object {
            index,
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: text(&json, "metadata.name").to_owned(),
            cluster: cluster.to_owned(),
            json,
        };
        if object.is(kinds::CONFIG_MAP) && object.name == "istio" {
            let mesh = yaml(text(&object.json, "data.mesh"));
            if !mesh.is_null() && self.mesh.is_null() {
                self.mesh = mesh;
            }
        }
        let of_kind = self.by_kind.entry((object.group.clone(), object.kind.clone())).or_default();
        of_kind.all.push(index);
        of_kind.by_name.entry((object.namespace.clone(), object.name.clone())).or_insert(index);
        self.all.push(object);
        index
    }

    /// Istio's MeshConfig from a file of its own; wins over the ConfigMap.
    pub fn set_mesh_config(&mut self, document: &leno_api::Document) {
        self.mesh = document.to_json();
    }

    /// Istio's MeshNetworks from a file of its own.
    pub fn add_mesh_networks(&mut self, document: &leno_api::Document) -> usize {
        let mut json = document.to_json();
        json["metadata"] = json!({ "name": "meshnetworks" });
        self.push(kinds::MESH_NETWORKS.0, kinds::MESH_NETWORKS.1, json, ISTIO_SYSTEM, "")
    }

    /// What every installation of Istio has and nobody writes: the default ingress gateway, when there is no other.
    pub fn add_defaults(&mut self) {
        let gateway = |object: &Object| object.label("istio") == Some("ingressgateway");
        if self.of(kinds::POD).any(gateway) {
            return;
        }
        let port = |number: u16| json!({ "name": format!("p-{number}"), "port": number, "protocol": "TCP", "targetPort": number });
        let metadata = json!({ "name": "istio-ingressgateway", "labels": { "istio": "ingressgateway" } });
        let pod = json!({ "metadata": metadata, "spec": { "containers": [{ "name": "istio-proxy" }] } });
        let ports = [80, 443, 31400, 15443].map(port);
        let service = json!({
            "metadata": metadata,
            "spec": { "selector": { "istio": "ingressgateway" }, "ports": ports },
        });
        self.push(kinds::POD.0, kinds::POD.1, pod, ISTIO_SYSTEM, "");
        self.push(kinds::SERVICE.0, kinds::SERVICE.1, service, ISTIO_SYSTEM, "");
    }

    pub fn object(&self, index: usize) -> Option<&Object> {
        self.all.get(index)
    }

    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = &Object> + Clone {
        let of_kind = self.by_kind.get(&(kind.0.to_owned(), kind.1.to_owned()));
        of_kind.into_iter().flat_map(|of_kind| &of_kind.all).filter_map(|index| self.all.get(*index))
    }

    pub(crate) fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        let of_kind = self.by_kind.get(&(kind.0.to_owned(), kind.1.to_owned()))?;
        self.all.get(*of_kind.by_name.get(&(namespace.to_owned(), name.to_owned()))?)
    }

    /// `name`, or `namespace/name`, said in `namespace`.
    pub(crate) fn find_named(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        let (namespace, name) = name.split_once('/').unwrap_or((namespace, name));
        self.find(kind, namespace, name)
    }

    pub(crate) fn root_namespace(&self) -> &str {
        match text(&self.mesh, "rootNamespace") {
            "" => ISTIO_SYSTEM,
            named => named,
        }
    }
}
