//! Who somebody is and what he may do: whoever gets this far has the admin token, and may do all.

use serde_json::{Value, json};

use crate::ApiError;

/// The one who has the admin token.
const ADMIN: &str = "leno:admin";
const GROUPS: [&str; 2] = ["system:masters", "system:authenticated"];

/// `wanted` is the kind that the path names.
///
/// # Errors
/// The body is something else.
pub(crate) fn answer(wanted: &str, mut review: Value) -> Result<Value, ApiError> {
    if review["kind"] != wanted {
        return Err(ApiError::bad_request(format!("the path is for {wanted}, and the body is {}", review["kind"])));
    }
    review["status"] = match wanted {
        "SelfSubjectReview" => json!({ "userInfo": { "username": ADMIN, "groups": GROUPS } }),
        "SelfSubjectRulesReview" => json!({
            "incomplete": false,
            "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
            "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
        }),
        "SelfSubjectAccessReview" => json!({ "allowed": true, "reason": "the admin token allows everything" }),
        // Of somebody else: there is nobody else.
        _ => json!({ "allowed": review["spec"]["user"] == ADMIN, "reason": "only the admin token allows anything" }),
    };
    Ok(review)
}
