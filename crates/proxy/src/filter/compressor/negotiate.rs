//! Which encoding a response gets (RFC 9110 §12.5.3, as Envoy reads it).

/// An encoding that some filter of the chain has for this response; each encoding once, in the order of the chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Offer {
    pub(super) token: &'static str,
    pub(super) choose_first: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Choice {
    /// The client prefers the body as it is.
    Identity,
    /// Nothing that the client takes is offered.
    NotValid,
    /// The client named it.
    Token(&'static str),
    /// The client takes anything.
    Wildcard(&'static str),
}

impl Choice {
    pub(super) fn token(self) -> Option<&'static str> {
        match self {
            Self::Identity | Self::NotValid => None,
            Self::Token(token) | Self::Wildcard(token) => Some(token),
        }
    }
}

/// The encoding with the highest weight; of several the first that the client names, unless a filter wants to be chosen.
pub(super) fn choose(accept_encoding: &str, offers: &[Offer]) -> Choice {
    let wanted = || accept_encoding.split(',').filter_map(parse);
    let is_offered = |token: &str| {
        let is_refused = || wanted().any(|(name, weight)| name == token && weight == 0.0);
        offers.iter().find(|offer| offer.token == token && !is_refused())
    };
    let Some(first) = offers.iter().find(|offer| is_offered(offer.token).is_some()) else { return Choice::NotValid };
    let mut best = (Choice::NotValid, 0.0);
    for (name, weight) in wanted() {
        let (choice, choose_first) = match (name, is_offered(name)) {
            (_, Some(offer)) => (Choice::Token(offer.token), offer.choose_first),
            ("identity", None) => (Choice::Identity, false),
            ("*", None) => (Choice::Wildcard(first.token), false),
            _ => continue,
        };
        if weight > best.1 || (weight == best.1 && weight > 0.0 && choose_first) {
            best = (choice, weight);
        }
    }
    best.0
}

/// Name and weight; `None` for an empty element and for a weight that is no number.
fn parse(element: &str) -> Option<(&str, f32)> {
    let (name, parameters) = match element.split_once(';') {
        Some((name, parameters)) => (name.trim(), Some(parameters)),
        None => (element.trim(), None),
    };
    if element.is_empty() {
        return None;
    }
    match parameters.and_then(|parameters| parameters.split_once('=')) {
        Some((key, weight)) if key.trim().eq_ignore_ascii_case("q") => {
            weight.trim().parse().ok().map(|weight| (name, weight))
        }
        _ => Some((name, 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(tokens: &[&'static str], preferred: Option<&str>) -> Vec<Offer> {
        tokens.iter().map(|&token| Offer { token, choose_first: Some(token) == preferred }).collect()
    }

    #[test]
    fn the_highest_weight_wins_and_then_the_client_order() {
        let both = offers(&["gzip", "br"], None);
        for (accept, choice) in [
            ("gzip, br", Choice::Token("gzip")),
            ("br, gzip", Choice::Token("br")),
            ("gzip;q=0.5, br;q=0.8", Choice::Token("br")),
            ("zstd, gzip ; Q = 0.1", Choice::Token("gzip")),
            ("identity", Choice::Identity),
            ("identity;q=0.2, gzip;q=0.1", Choice::Identity),
            ("*", Choice::Wildcard("gzip")),
            ("gzip;q=0, *", Choice::Wildcard("br")),
            ("gzip;q=0, br;q=0", Choice::NotValid),
            ("deflate", Choice::NotValid),
            ("gzip;q=x", Choice::NotValid),
            ("gzip;level=9", Choice::Token("gzip")),
            ("", Choice::NotValid),
        ] {
            assert_eq!(choose(accept, &both), choice, "{accept:?}");
        }
        assert_eq!(choose("gzip", &[]), Choice::NotValid);
    }

    #[test]
    fn a_filter_may_want_to_be_chosen() {
        let both = offers(&["gzip", "br"], Some("br"));
        assert_eq!(choose("gzip, br", &both), Choice::Token("br"));
        assert_eq!(choose("gzip, br;q=0.9", &both), Choice::Token("gzip"));
        assert_eq!(choose("gzip", &both), Choice::Token("gzip"));
    }
}
