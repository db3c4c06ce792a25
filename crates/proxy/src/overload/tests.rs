use leno_ir::{OverloadAction, OverloadTrigger};

use super::*;

fn overload(max_downstream_connections: Option<u64>, actions: Vec<OverloadAction>) -> Arc<Overload> {
    let refresh_interval = Duration::from_secs(1);
    let config =
        leno_ir::Overload { refresh_interval, max_heap_size_bytes: Some(1000), max_downstream_connections, actions };
    Overload::register(config, &Registry::new())
}

#[test]
fn actions_follow_the_memory() {
    use OverloadActionKind::{ShrinkHeap, StopAcceptingConnections, StopAcceptingRequests};
    let action = |kind, trigger| OverloadAction { kind, trigger };
    let overload = overload(
        None,
        vec![
            action(ShrinkHeap, OverloadTrigger::Threshold(0.5)),
            action(StopAcceptingRequests, OverloadTrigger::Scaled { scaling: 0.8, saturation: 0.9 }),
            action(StopAcceptingConnections, OverloadTrigger::Threshold(0.9)),
        ],
    );
    assert!(!overload.publish(499) && !overload.sheds_request(|| 0));
    assert!(overload.publish(850));
    // Half of them.
    assert!(overload.sheds_request(|| 499_999) && !overload.sheds_request(|| 500_000));
    assert!(!*overload.stops_accepting.borrow());
    assert!(overload.publish(900) && overload.sheds_request(|| 999_999) && *overload.stops_accepting.borrow());
    assert!(!overload.publish(100) && !overload.sheds_request(|| 0) && !*overload.stops_accepting.borrow());
    assert!(!overload.ends_keepalive(|| 0));
    assert_eq!(overload.shed[Shed::Request as usize].load(Ordering::Relaxed), 2);
}

#[test]
fn a_connection_too_many_is_refused_until_another_ends() {
    let overload = overload(Some(2), Vec::new());
    let (first, _second) = (overload.admit(), overload.admit());
    assert_eq!(overload.admit().err(), Some(TooManyConnections));
    drop(first);
    assert!(overload.admit().is_ok_and(|slot| slot.is_some()));
}
