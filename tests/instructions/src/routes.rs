//! Matching in a table of 100 routes by path prefix.

use std::hint::black_box;

use leno_routing::{CompiledRoutes, HeaderView, RequestView};

struct Request {
    path: String,
}

impl HeaderView for Request {
    fn header_values<'a>(&'a self, _: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        std::iter::empty()
    }

    fn pseudo_header(&self, _: &str) -> Option<&str> {
        None
    }
}

impl RequestView for Request {
    fn method(&self) -> &str {
        "GET"
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn authority(&self) -> &str {
        "shop.example"
    }

    fn scheme(&self) -> &str {
        "http"
    }
}

pub(crate) fn first(count: u32) {
    route("/service-0/item", count);
}

pub(crate) fn last(count: u32) {
    route("/service-99/item", count);
}

fn route(path: &str, count: u32) {
    let routes = CompiledRoutes::new(crate::configuration::route_table());
    let request = Request { path: path.to_owned() };
    assert!(routes.route(&request, 0).is_some(), "no route for {path}");
    for random in 0..count {
        black_box(routes.route(black_box(&request), random.into()).is_some());
    }
}
