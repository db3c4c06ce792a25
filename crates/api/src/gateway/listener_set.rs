use super::{GatewayListener, ParentRef};
use crate::schema::schema;

schema! {
    /// Listeners that others add to a gateway.
    pub struct ListenerSetSpec {
        pub listeners: Vec<GatewayListener>,
        pub parent_ref: ParentRef,
    }
}
