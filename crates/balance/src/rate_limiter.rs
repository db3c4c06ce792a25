//! Which of several token buckets a request takes from, and whether it may pass.
//!
//! Shape       1 `RateLimiter` (shared by workers) -> n buckets by descriptor, n `Dynamic` (blank values: a bucket for each) and
//!             the default one; a request has n descriptors
//! Invariants  of the buckets that a request is about the slowest is asked first, and the first that is empty ends it: what was
//!             taken before is not given back (as in Envoy)
//! Cost        per descriptor one look-up and one compare-and-swap; only a blank value takes a lock, for one look-up among at
//!             most `max_dynamic` buckets, since which one goes next depends on all workers
//! Source      Envoy `LocalRateLimiterImpl` v1.40

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use leno_ir::{LimitedDescriptor, TokenBucket as BucketSettings};

use crate::TokenBucket;

/// What is limited, and how.
#[derive(Clone, Copy, Debug)]
pub struct RateLimiterSettings<'a> {
    /// `None`: no limit.
    pub default: Option<&'a BucketSettings>,
    pub descriptors: &'a [LimitedDescriptor],
    /// Requests take from the default bucket beside those of their descriptors.
    pub always_consumes_default: bool,
    /// Buckets of one descriptor with a blank value.
    pub max_dynamic: usize,
}

/// Key and value.
pub type DescriptorEntry<'a> = (Cow<'a, str>, Cow<'a, str>);

#[derive(Debug)]
pub struct RateLimiter {
    default: Option<Arc<TokenBucket>>,
    exact: Vec<Exact>,
    dynamic: Vec<Dynamic>,
    always_consumes_default: bool,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub outcome: Outcome,
    /// The bucket that decided; `None`: there is none for this request.
    pub bucket: Option<Arc<TokenBucket>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    Allowed,
    Refused,
    /// Only a bucket in the shadow was empty, which stops nobody.
    Shadowed,
}

/// The bucket of a descriptor without blank values.
#[derive(Debug)]
struct Exact {
    entries: Vec<(String, String)>,
    bucket: Arc<TokenBucket>,
    is_shadow: bool,
}

impl RateLimiter {
    /// All buckets full.
    pub fn new(settings: RateLimiterSettings<'_>, now: Instant) -> Self {
        let (dynamic, exact): (Vec<_>, Vec<_>) =
            settings.descriptors.iter().partition(|it| it.entries.iter().any(|(_, value)| value.is_empty()));
        let bucket = |settings: &BucketSettings| Arc::new(TokenBucket::new(settings, now));
        Self {
            default: settings.default.map(bucket),
            exact: exact
                .into_iter()
                .map(|it| Exact {
                    entries: it.entries.clone(),
                    bucket: bucket(&it.token_bucket),
                    is_shadow: it.is_shadow,
                })
                .collect(),
            dynamic: dynamic.into_iter().map(|it| Dynamic::new(it, settings.max_dynamic)).collect(),
            always_consumes_default: settings.always_consumes_default,
        }
    }

    /// Whether descriptors of a request matter.
    pub fn has_descriptors(&self) -> bool {
        !self.exact.is_empty() || !self.dynamic.is_empty()
    }

    /// Takes tokens for a request with these descriptors.
    pub fn take(&self, descriptors: &[Vec<DescriptorEntry<'_>>], now: Instant) -> Verdict {
        self.take_many(descriptors, now, 1)
    }

    /// For a request that costs several tokens.
    pub fn take_many(&self, descriptors: &[Vec<DescriptorEntry<'_>>], now: Instant, tokens: u32) -> Verdict {
        let mut buckets: Vec<_> = descriptors.iter().filter_map(|entries| self.bucket(entries, now)).collect();
        buckets.sort_by(|(a, _), (b, _)| a.fill_order(b));
        let mut in_shadow = None;
        for (bucket, is_shadow) in &buckets {
            if bucket.take_many(now, tokens) {
                continue;
            }
            if !is_shadow {
                return Verdict { outcome: Outcome::Refused, bucket: Some(bucket.clone()) };
            }
            in_shadow.get_or_insert_with(|| bucket.clone());
        }
        let slowest = buckets.into_iter().next().map(|(bucket, _)| bucket);
        if let Some(default) = self.default.as_ref().filter(|_| slowest.is_none() || self.always_consumes_default) {
            if !default.take_many(now, tokens) {
                return Verdict { outcome: Outcome::Refused, bucket: Some(default.clone()) };
            }
            if slowest.is_none() {
                return Verdict { outcome: Outcome::Allowed, bucket: Some(default.clone()) };
            }
        }
        let outcome = if in_shadow.is_some() { Outcome::Shadowed } else { Outcome::Allowed };
        Verdict { outcome, bucket: in_shadow.or(slowest) }
    }

    /// And whether it is in the shadow.
    fn bucket(&self, entries: &[DescriptorEntry<'_>], now: Instant) -> Option<(Arc<TokenBucket>, bool)> {
        let exact = self.exact.iter().find(|exact| matches(&exact.entries, entries));
        exact.map(|exact| (exact.bucket.clone(), exact.is_shadow)).or_else(|| {
            let dynamic = self.dynamic.iter().find(|dynamic| matches(&dynamic.entries, entries));
            dynamic.map(|dynamic| (dynamic.bucket(entries, now), dynamic.is_shadow))
        })
    }
}

/// A blank value stands for any.
fn matches(wanted: &[(String, String)], entries: &[DescriptorEntry<'_>]) -> bool {
    let is_match = |((wanted_key, wanted_value), (key, value)): (&(String, String), &DescriptorEntry<'_>)| {
        wanted_key == key && (wanted_value.is_empty() || wanted_value == value)
    };
    wanted.len() == entries.len() && wanted.iter().zip(entries).all(is_match)
}

/// A descriptor with blank values, and the buckets of those that came.
#[derive(Debug)]
struct Dynamic {
    entries: Vec<(String, String)>,
    settings: BucketSettings,
    most: usize,
    is_shadow: bool,
    recent: Mutex<Recent>,
}

/// Buckets by the values they are for, and when each was used last.
#[derive(Debug, Default)]
struct Recent {
    buckets: HashMap<Arc<str>, Used>,
    by_age: BTreeMap<u64, Arc<str>>,
    uses: u64,
    /// The values of the request at hand.
    key: String,
}

#[derive(Debug)]
struct Used {
    at: u64,
    bucket: Arc<TokenBucket>,
}

impl Dynamic {
    fn new(descriptor: &LimitedDescriptor, most: usize) -> Self {
        Self {
            entries: descriptor.entries.clone(),
            settings: descriptor.token_bucket,
            most: most.max(1),
            is_shadow: descriptor.is_shadow,
            recent: Mutex::default(),
        }
    }

    fn bucket(&self, entries: &[DescriptorEntry<'_>], now: Instant) -> Arc<TokenBucket> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let Recent { buckets, by_age, uses, key } = &mut *recent;
        key.clear();
        for (_, value) in entries {
            // The length keeps apart what could be split in two ways.
            // Writing to a String cannot fail.
            let _ = write!(key, "{}:{value}", value.len());
        }
        *uses += 1;
        if let Some(used) = buckets.get_mut(key.as_str()) {
            if let Some(key) = by_age.remove(&used.at) {
                by_age.insert(*uses, key);
            }
            used.at = *uses;
            return used.bucket.clone();
        }
        let bucket = Arc::new(TokenBucket::new(&self.settings, now));
        let key: Arc<str> = key.as_str().into();
        buckets.insert(key.clone(), Used { at: *uses, bucket: bucket.clone() });
        by_age.insert(*uses, key);
        if buckets.len() > self.most
            && let Some((_, oldest)) = by_age.pop_first()
        {
            buckets.remove(&oldest);
        }
        bucket
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn settings(max_tokens: u32, seconds: u64) -> BucketSettings {
        BucketSettings { max_tokens, tokens_per_fill: 1, fill_interval: Duration::from_secs(seconds) }
    }

    fn descriptor(entries: &[(&str, &str)], token_bucket: BucketSettings) -> LimitedDescriptor {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        LimitedDescriptor { entries, token_bucket, is_shadow: false }
    }

    fn request(entries: &[(&'static str, &'static str)]) -> Vec<DescriptorEntry<'static>> {
        entries.iter().map(|(key, value)| (Cow::Borrowed(*key), Cow::Borrowed(*value))).collect()
    }

    fn limiter(default: u32, descriptors: &[LimitedDescriptor], always: bool, most: usize) -> (RateLimiter, Instant) {
        #[expect(clippy::disallowed_methods, reason = "a start for virtual time, read once")]
        let start = Instant::now();
        let default = settings(default, 3600);
        let settings = RateLimiterSettings {
            default: Some(&default),
            descriptors,
            always_consumes_default: always,
            max_dynamic: most,
        };
        (RateLimiter::new(settings, start), start)
    }

    #[test]
    fn the_slowest_bucket_is_asked_first_and_ends_it() {
        let all = [descriptor(&[("a", "1")], settings(1, 10)), descriptor(&[("b", "1")], settings(2, 20))];
        let (limiter, now) = limiter(5, &all, true, 1);
        let both = [request(&[("a", "1")]), request(&[("b", "1")])];
        assert!(limiter.take(&both, now).outcome == Outcome::Allowed);
        let refused = limiter.take(&both, now);
        // The slower bucket lost a token to a request that the faster one refused.
        assert_eq!((refused.outcome, refused.bucket.map(|bucket| bucket.max_tokens())), (Outcome::Refused, Some(1)));
        assert_eq!(limiter.take(&both[1..], now).outcome, Outcome::Refused);
        let allowed = limiter.take(&[], now);
        assert_eq!((allowed.outcome, allowed.bucket.map(|bucket| bucket.remaining(now))), (Outcome::Allowed, Some(3)));
    }

    #[test]
    fn the_default_is_left_alone_where_it_is_not_for_all() {
        let all = [descriptor(&[("a", "1"), ("b", "2")], settings(9, 1))];
        let (limiter, now) = limiter(1, &all, false, 1);
        let known = [request(&[("a", "1"), ("b", "2")])];
        assert!((0..3).all(|_| limiter.take(&known, now).outcome == Outcome::Allowed));
        for unknown in [vec![("a", "1")], vec![("b", "2"), ("a", "1")], vec![("a", "1"), ("b", "3")]] {
            let verdict = limiter.take(&[request(&unknown)], now);
            assert_eq!(verdict.bucket.map(|bucket| bucket.max_tokens()), Some(1), "{unknown:?}");
        }
    }

    #[test]
    fn an_empty_bucket_in_the_shadow_stops_nobody() {
        let shadow = LimitedDescriptor { is_shadow: true, ..descriptor(&[("a", "1")], settings(1, 3600)) };
        let (limiter, now) = limiter(3, &[shadow], true, 1);
        let take = |_| limiter.take(&[request(&[("a", "1")])], now).outcome;
        assert_eq!([0; 4].map(take), [Outcome::Allowed, Outcome::Shadowed, Outcome::Shadowed, Outcome::Refused]);
    }

    #[test]
    fn every_value_has_a_bucket_until_there_are_too_many() {
        let all = [descriptor(&[("user", "")], settings(1, 3600)), descriptor(&[("user", "vip")], settings(2, 3600))];
        let (limiter, now) = limiter(99, &all, true, 2);
        let take = |user| limiter.take(&[request(&[("user", user)])], now).outcome == Outcome::Allowed;
        assert_eq!(["a", "b", "a", "b"].map(take), [true, true, false, false]);
        // `a` was used before `b`, and goes for `c`.
        assert_eq!(["c", "b", "a"].map(take), [true, false, true]);
        assert_eq!(["vip", "vip", "vip"].map(take), [true, true, false]);
    }
}
