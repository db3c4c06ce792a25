use std::collections::BTreeMap;

use serde::Serialize;

use crate::{AccessLogFilter, HeaderOps, JsonFormat};

/// What is made of the responses that the proxy gives itself (Envoy's `local_reply_config`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LocalReplies {
    /// The first one whose filter holds counts.
    pub mappers: Vec<LocalReplyMapper>,
    /// Where the mapper has none; `None`: the body as it is.
    pub body_format: Option<BodyFormat>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LocalReplyMapper {
    pub filter: AccessLogFilter,
    pub status: Option<u16>,
    pub body: Option<String>,
    pub body_format: Option<BodyFormat>,
    /// Only added ones.
    pub headers: HeaderOps,
}

/// With the command operators of access logs; `%LOCAL_REPLY_BODY%` is the body as it would have been.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct BodyFormat {
    pub kind: BodyFormatKind,
    /// What has no value is left out.
    pub omit_empty: bool,
    /// `None`: as the kind says.
    pub content_type: Option<String>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyFormatKind {
    Json(BTreeMap<String, JsonFormat>),
    Text(String),
}

impl LocalReplies {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
