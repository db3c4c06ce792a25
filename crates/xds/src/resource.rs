use leno_proto::google::protobuf::Any;

/// One encoded resource, as the codec makes it and the state machines move it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resource {
    pub name: String,
    pub type_url: &'static str,
    /// A hash of the content: equal resources have equal versions, across streams and restarts.
    pub version: String,
    /// The protobuf message inside `google.protobuf.Any`.
    pub body: Vec<u8>,
}

impl Resource {
    pub fn to_any(&self) -> Any {
        Any { type_url: self.type_url.to_owned(), value: self.body.clone() }
    }
}
