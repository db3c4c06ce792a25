use std::sync::Arc;

use leno_ir::{
    CookieMatch, Forward, HeaderMatch, HeaderMatchKind, PathMatch, Pattern, QueryMatch, QueryMatchKind, Redirect,
    RedirectPath, RequireTls, Rewrite, Route, RouteAction, RouteMatch, RouteTable, StringMatch, VirtualHost,
    WeightedCluster,
};
use leno_names::Fraction;
use proptest::prelude::*;

use crate::{CompiledRoutes, HeaderView, RequestView, pick_cluster};

#[derive(Debug, Default)]
struct Request {
    path: String,
    authority: String,
    headers: Vec<(String, String)>,
}

impl RequestView for Request {
    fn method(&self) -> &str {
        "GET"
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn authority(&self) -> &str {
        &self.authority
    }

    fn scheme(&self) -> &str {
        "http"
    }
}

impl HeaderView for Request {
    fn pseudo_header(&self, name: &str) -> Option<&str> {
        match name {
            ":method" => Some("GET"),
            ":path" => Some(&self.path),
            ":authority" | "host" => Some(&self.authority),
            _ => None,
        }
    }

    fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_bytes())
    }
}

fn get(authority: &str, path: &str) -> Request {
    Request { path: path.to_owned(), authority: authority.to_owned(), headers: Vec::new() }
}

fn route(name: &str, matches: RouteMatch, action: RouteAction) -> Route {
    Route::new(name, matches, action)
}

fn to(name: &str, matches: RouteMatch) -> Route {
    route(name, matches, RouteAction::Forward(Box::new(Forward::to(name))))
}

fn host(domains: &[&str], routes: Vec<Route>) -> VirtualHost {
    let domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
    VirtualHost { name: String::new(), domains, routes, ..VirtualHost::default() }
}

fn table(virtual_hosts: Vec<VirtualHost>) -> CompiledRoutes {
    CompiledRoutes::new(Arc::new(RouteTable::new("test", virtual_hosts)))
}

fn matching(matches: RouteMatch, request: &Request) -> bool {
    table(vec![host(&["*"], vec![to("x", matches)])]).route(request, 0).is_some()
}

fn path(path: PathMatch) -> RouteMatch {
    RouteMatch { path, ..RouteMatch::any() }
}

fn header(kind: HeaderMatchKind, invert: bool, treat_missing_as_empty: bool) -> RouteMatch {
    let header = HeaderMatch { name: "x".to_owned(), kind, invert, treat_missing_as_empty };
    RouteMatch { headers: vec![header], ..RouteMatch::any() }
}

fn with_header(values: &[&str]) -> Request {
    let headers = values.iter().map(|value| ("x".to_owned(), (*value).to_owned())).collect();
    Request { headers, ..get("a", "/") }
}

#[test]
fn the_most_specific_domain_wins_whatever_the_order() {
    let named = |domain: &str| host(&[domain], vec![to(domain, RouteMatch::any())]);
    let domains = ["*", "a.*", "a.b.*", "*.d", "*.c.d", "a.b.c.d", "h:80"];
    let table = table(domains.iter().map(|domain| named(domain)).collect());
    let found = |authority: &str| table.route(&get(authority, "/"), 0).map(|matched| matched.route.name.clone());
    for (authority, domain) in [
        ("A.B.c.d", "a.b.c.d"),
        ("x.c.d", "*.c.d"),
        ("x.d", "*.d"),
        (".d", "*"),
        ("a.b.x", "a.b.*"),
        ("a.x", "a.*"),
        ("h:80", "h:80"),
        ("h", "*"),
        ("", "*"),
    ] {
        assert_eq!(found(authority).as_deref(), Some(domain), "{authority}");
    }
}

#[test]
fn a_prefix_with_a_separator_ends_at_a_segment() {
    let prefix = || path(PathMatch::PathSeparatedPrefix { text: "/a".to_owned(), ignore_case: false });
    for (path, expected) in [("/a", true), ("/a/", true), ("/a/b?x", true), ("/a?x=/b", true), ("/ab", false)] {
        assert_eq!(matching(prefix(), &get("h", path)), expected, "{path}");
    }
}

#[test]
fn paths_are_compared_without_the_query() {
    let exact = |ignore_case| path(PathMatch::Exact { text: "/a".to_owned(), ignore_case });
    assert!(matching(exact(false), &get("h", "/a?b")) && !matching(exact(false), &get("h", "/A")));
    assert!(matching(exact(true), &get("h", "/A#f")));
    let regex = path(PathMatch::Regex(Pattern::new("/v[0-9]+").expect("valid")));
    assert!(matching(regex.clone(), &get("h", "/v12?x")) && !matching(regex, &get("h", "/v12/x")));
}

#[test]
fn cookies_match_by_name_and_value() {
    let cookie = |invert| RouteMatch {
        cookies: vec![CookieMatch { name: "c".to_owned(), value: StringMatch::exact("v"), invert }],
        ..RouteMatch::any()
    };
    let with = |value: &str| Request { headers: vec![("cookie".to_owned(), value.to_owned())], ..get("h", "/") };
    assert!(matching(cookie(false), &with("b=1; c=v")) && matching(cookie(false), &with("c=\"v\"")));
    assert!(!matching(cookie(false), &with("cc=v")) && !matching(cookie(true), &with("c=v")));
    assert!(matching(cookie(true), &with("c=w")) && matching(cookie(true), &get("h", "/")));
}

#[test]
fn a_host_that_requires_tls_sends_requests_there() {
    let mut guarded = host(&["h"], vec![to("x", RouteMatch::any())]);
    guarded.require_tls = RequireTls::All;
    let table = table(vec![guarded]);
    let request = get("h", "/a?b");
    let matched = table.route(&request, 0).expect("a redirect");
    let RouteAction::Redirect(redirect) = &matched.route.action else { panic!("{:?}", matched.route) };
    assert_eq!(matched.redirect_location(redirect, &request), "https://h/a?b");
    assert!(table.at(matched.position).is_some_and(|again| again.route == matched.route));
}

#[test]
fn headers_match_by_presence_value_and_range() {
    let exact = |text: &str| HeaderMatchKind::Value(StringMatch::exact(text));
    assert!(matching(header(exact("a"), false, false), &with_header(&["a"])));
    assert!(matching(header(exact("b"), false, false), &with_header(&["a", "b"])), "any line may fit");
    assert!(!matching(header(exact("a,b"), false, false), &with_header(&["a", "b"])), "lines are not joined");
    assert!(!matching(header(exact("b"), true, false), &with_header(&["a", "b"])), "none may fit");
    assert!(!matching(header(exact("a"), true, false), &with_header(&["a"])));
    assert!(!matching(header(exact("a"), true, false), &with_header(&[])));
    assert!(matching(header(exact("a"), true, true), &with_header(&[])));
    assert!(matching(header(exact(""), false, true), &with_header(&[])));
    assert!(!matching(header(exact(""), false, false), &with_header(&[])));
    assert!(matching(header(HeaderMatchKind::Present(true), false, false), &with_header(&[""])));
    assert!(matching(header(HeaderMatchKind::Present(true), true, false), &with_header(&[])));
    assert!(matching(header(HeaderMatchKind::Present(false), false, false), &with_header(&[])));
    let range = || HeaderMatchKind::Range { start: -1, end: 5 };
    assert!(matching(header(range(), false, false), &with_header(&["-1"])));
    assert!(!matching(header(range(), false, false), &with_header(&["5"])));
    assert!(!matching(header(range(), false, false), &with_header(&["x"])));
}

#[test]
fn query_parameters_match_by_their_first_value() {
    let query = |kind| RouteMatch { query: vec![QueryMatch { name: "q".to_owned(), kind }], ..RouteMatch::any() };
    let exact = || query(QueryMatchKind::Value(StringMatch::exact("1")));
    assert!(matching(exact(), &get("h", "/?a=2&q=1&q=2#x")) && !matching(exact(), &get("h", "/?q=2&q=1")));
    assert!(!matching(exact(), &get("h", "/")));
    assert!(matching(query(QueryMatchKind::Present(true)), &get("h", "/?q")));
    assert!(matching(query(QueryMatchKind::Present(false)), &get("h", "/?qq=1")));
}

#[test]
fn grpc_is_told_by_its_content_type() {
    let grpc = || RouteMatch { grpc: true, ..RouteMatch::any() };
    let typed = |value: &str| Request { headers: vec![("content-type".to_owned(), value.to_owned())], ..get("h", "/") };
    assert!(matching(grpc(), &typed("application/grpc+proto")) && matching(grpc(), &typed("application/grpc")));
    assert!(!matching(grpc(), &typed("application/grpc-web")) && !matching(grpc(), &get("h", "/")));
}

#[test]
fn a_fraction_takes_exactly_its_share() {
    let quarter = RouteMatch { fraction: Fraction::from_percent(25), ..RouteMatch::any() };
    let table = table(vec![host(&["*"], vec![to("some", quarter), to("rest", RouteMatch::any())])]);
    let request = get("h", "/");
    let taken = (0..1_000_000_u64)
        .step_by(100)
        .filter(|random| table.route(&request, *random).is_some_and(|matched| matched.route.name == "some"));
    assert_eq!(taken.count(), 2_500);
}

#[test]
fn clusters_get_exactly_their_share() {
    let clusters = [WeightedCluster::new("a", 90), WeightedCluster::new("b", 0), WeightedCluster::new("c", 10)];
    let count = |at: usize| (0..1000).filter(|random| pick_cluster(&clusters, *random) == Some(at)).count();
    assert_eq!((count(0), count(1), count(2)), (900, 0, 100));
    assert_eq!(pick_cluster(&[WeightedCluster::new("a", 0)], 7), None);
    assert_eq!(pick_cluster(&[], 7), None);
}

fn rewritten(matches: PathMatch, rewrite: Rewrite, from: &str) -> String {
    let forward = Forward { rewrite: Some(rewrite), ..Forward::to("x") };
    let route = route("x", path(matches), RouteAction::Forward(Box::new(forward)));
    let table = table(vec![host(&["*"], vec![route])]);
    let matched = table.route(&get("h", from), 0).expect("matches");
    matched.rewritten_path(from).expect("has a rewrite")
}

#[test]
fn rewrites_replace_what_was_matched_and_keep_the_query() {
    let prefix = |text: &str| PathMatch::Prefix { text: text.to_owned(), ignore_case: false };
    let segment = |text: &str| PathMatch::PathSeparatedPrefix { text: text.to_owned(), ignore_case: false };
    let to = |text: &str| Rewrite::Prefix(text.to_owned());
    assert_eq!(rewritten(prefix("/a/"), to("/b/"), "/a/c?q=1"), "/b/c?q=1");
    assert_eq!(rewritten(segment("/a"), to("/"), "/a/c"), "/c");
    assert_eq!(rewritten(segment("/a"), to("/"), "/a"), "/");
    assert_eq!(rewritten(segment("/a"), to("/b"), "/a?x"), "/b?x");
    assert_eq!(rewritten(segment("/a"), to(""), "/a"), "/");
    assert_eq!(rewritten(prefix("/"), Rewrite::Path("/new".to_owned()), "/old?q"), "/new?q");
    let regex = Rewrite::Regex { pattern: "^/s/([^/]+)(/.*)$".to_owned(), substitution: r"\2/$/\1".to_owned() };
    assert_eq!(rewritten(prefix("/"), regex, "/s/foo/v1?q"), "/v1/$/foo?q");
    assert_eq!(
        rewritten(
            prefix("/"),
            Rewrite::Regex { pattern: "one".to_owned(), substitution: "two".to_owned() },
            "/one/one"
        ),
        "/two/two"
    );
}

#[test]
fn a_redirect_replaces_only_what_it_names() {
    let location = |redirect: Redirect, authority: &str, from: &str| {
        let matches = path(PathMatch::PathSeparatedPrefix { text: "/a".to_owned(), ignore_case: false });
        let table = table(vec![host(&["*"], vec![route("r", matches, RouteAction::Redirect(redirect.clone()))])]);
        let request = get(authority, from);
        table.route(&request, 0).map(|matched| matched.redirect_location(&redirect, &request))
    };
    let empty = Redirect { scheme: None, host: None, port: None, path: None, status: 301, strip_query: false };
    let check = |redirect: Redirect, authority: &str, from: &str, expected: &str| {
        assert_eq!(location(redirect, authority, from).as_deref(), Some(expected));
    };
    let https = || Redirect { scheme: Some("https".to_owned()), ..empty.clone() };
    check(https(), "h:80", "/a?q=1", "https://h/a?q=1");
    check(https(), "h:8080", "/a", "https://h:8080/a");
    check(Redirect { port: Some(8443), ..https() }, "h", "/a", "https://h:8443/a");
    check(Redirect { host: Some("o".to_owned()), ..empty.clone() }, "h:81", "/a/b", "http://o/a/b");
    let to = |path| Redirect { path: Some(path), ..empty.clone() };
    check(to(RedirectPath::Prefix("/n".to_owned())), "[::1]:81", "/a/b?q", "http://[::1]:81/n/b?q");
    check(to(RedirectPath::Full("/n?z".to_owned())), "h", "/a?q", "http://h/n?z");
    check(Redirect { strip_query: true, ..empty.clone() }, "h", "/a?q", "http://h/a");
}

#[test]
fn routes_are_tried_in_order() {
    let exact = path(PathMatch::Exact { text: "/a".to_owned(), ignore_case: false });
    let table = table(vec![host(
        &["*"],
        vec![to("first", exact.clone()), to("second", RouteMatch::any()), to("third", exact)],
    )]);
    let name = |path: &str| table.route(&get("h", path), 0).map(|matched| matched.route.name.clone());
    assert_eq!((name("/a").as_deref(), name("/b").as_deref()), (Some("first"), Some("second")));
}

/// The definition, without an index: every domain of every host, the best rank wins, the first of equals.
fn naive(domains: &[Vec<String>], authority: &str) -> Option<usize> {
    let mut best: Option<((u8, usize), usize)> = None;
    for (host, domains) in domains.iter().enumerate() {
        for domain in domains {
            let rank = if domain == "*" {
                Some((0, 0))
            } else if let Some(suffix) = domain.strip_prefix('*') {
                (authority.len() > suffix.len() && authority.ends_with(suffix)).then_some((2, suffix.len()))
            } else if let Some(prefix) = domain.strip_suffix('*') {
                (authority.len() > prefix.len() && authority.starts_with(prefix)).then_some((1, prefix.len()))
            } else {
                (domain == authority).then_some((3, 0))
            };
            if let Some(rank) = rank
                && best.is_none_or(|(known, _)| rank > known)
            {
                best = Some((rank, host));
            }
        }
    }
    best.map(|(_, host)| host)
}

fn any_path() -> impl Strategy<Value = PathMatch> {
    let text = "/?[abAB/]{0,4}";
    let regex =
        prop::sample::select(vec!["/a+", "/(a|b)b", "/ab?", ".*", "(?i)/ab/.*", "/a|/b", "/ab/[ab]+", "/aa{2}"]);
    prop_oneof![
        (text, any::<bool>()).prop_map(|(text, ignore_case)| PathMatch::Exact { text, ignore_case }),
        (text, any::<bool>()).prop_map(|(text, ignore_case)| PathMatch::Prefix { text, ignore_case }),
        (text, any::<bool>()).prop_map(|(text, ignore_case)| PathMatch::PathSeparatedPrefix { text, ignore_case }),
        text.prop_map(|text| PathMatch::Prefix { text, ignore_case: false }),
        regex.prop_map(|regex| PathMatch::Regex(Pattern::new(regex).expect("valid"))),
    ]
}

proptest! {
    #[test]
    fn the_index_answers_as_a_scan_would(
        domains in prop::collection::vec(prop::collection::vec("(\\*?[ab.]{1,3}|[ab.]{1,3}\\*|\\*)", 0..4), 0..6),
        authority in "[ab.]{0,5}",
    ) {
        let hosts = domains.iter().enumerate().map(|(at, domains)| VirtualHost {
            domains: domains.clone(),
            routes: vec![to(&at.to_string(), RouteMatch::any())],
            ..VirtualHost::default()
        });
        let table = table(hosts.collect());
        let found = table.route(&get(&authority, "/"), 0).map(|matched| matched.route.name.clone());
        prop_assert_eq!(found, naive(&domains, &authority).map(|host| host.to_string()));
    }

    #[test]
    fn paths_are_found_as_a_scan_would(
        paths in prop::collection::vec((any_path(), prop::option::of("[xy]")), 0..14),
        asked in "/?[abAB/]{0,5}(\\?a)?",
        value in "[xy]",
    ) {
        let routes: Vec<Route> = paths.into_iter().enumerate().map(|(at, (path, wanted))| {
            let headers = wanted.map(|wanted| HeaderMatch {
                name: "x".to_owned(),
                kind: HeaderMatchKind::Value(StringMatch::exact(wanted)),
                invert: false,
                treat_missing_as_empty: false,
            });
            let headers = headers.into_iter().collect();
            to(&at.to_string(), RouteMatch { path, headers, ..RouteMatch::any() })
        }).collect();
        let request = Request { path: asked, ..with_header(&[&value]) };
        // One route is no index.
        let expected = routes.iter().find(|route| matching(route.matches.clone(), &request)).map(|route| route.name.clone());
        let table = table(vec![host(&["*"], routes)]);
        prop_assert_eq!(table.route(&request, 0).map(|matched| matched.route.name.clone()), expected);
    }

    #[test]
    fn no_path_and_authority_panics(path in ".{0,20}", authority in ".{0,20}", prefix in ".{0,6}") {
        let matches = RouteMatch {
            path: PathMatch::PathSeparatedPrefix { text: prefix.clone(), ignore_case: true },
            ..RouteMatch::any()
        };
        let forward = Forward { rewrite: Some(Rewrite::Prefix("/n".to_owned())), ..Forward::to("x") };
        let route = route("r", matches, RouteAction::Forward(Box::new(forward)));
        let table = table(vec![host(&[&authority, "*é", "é*", "*"], vec![route])]);
        if let Some(matched) = table.route(&get(&authority, &path), 1) {
            let _ = matched.rewritten_path(&path);
        }
    }
}
