use leno_ir::HeaderNames;

/// How the lines of a head are written on one side.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::http) struct Names(pub(in crate::http) HeaderNames);

impl Names {
    /// Where the side that read the head keeps its spelling, so does the other one; else that one's word counts, and nothing
    /// is there to keep.
    pub(in crate::http) fn of(head_keeps_names: bool, writes: HeaderNames) -> Self {
        Self(match writes {
            _ if head_keeps_names => HeaderNames::AsReceived,
            HeaderNames::AsReceived => HeaderNames::Lower,
            writes => writes,
        })
    }

    /// A name where it was written.
    pub(in crate::http) fn spell(self, name: &mut [u8]) {
        match self.0 {
            HeaderNames::AsReceived => {}
            HeaderNames::Lower if !may_have_upper(name) => {}
            HeaderNames::Lower => name.make_ascii_lowercase(),
            HeaderNames::ProperCase => {
                let mut begins = true;
                for byte in name {
                    if begins {
                        byte.make_ascii_uppercase()
                    } else {
                        byte.make_ascii_lowercase()
                    }
                    begins = !byte.is_ascii_alphanumeric();
                }
            }
        }
    }
}

pub(in crate::http) fn write_name(name: &[u8], names: Names, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(name);
    names.spell(out.get_mut(start..).unwrap_or_default());
}

/// By eight bytes at a time: most names come in lower case. Wrong only about bytes that no name has, and then says yes.
fn may_have_upper(name: &[u8]) -> bool {
    // Bit 5 is what tells the cases of a letter apart; digits and `-` have it too.
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let (words, rest) = name.as_chunks::<8>();
    let all = words.iter().fold(LOWER, |all, word| all & u64::from_ne_bytes(*word));
    all != LOWER || rest.iter().any(|byte| byte & 0x20 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, names: HeaderNames) -> String {
        let mut out = Vec::new();
        write_name(name.as_bytes(), Names(names), &mut out);
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn a_word_begins_after_whatever_is_no_letter_or_digit() {
        assert_eq!(written("x-REQUEST-id", HeaderNames::ProperCase), "X-Request-Id");
        assert_eq!(written("foo$b#$are", HeaderNames::ProperCase), "Foo$B#$Are");
        assert_eq!(written("X-MiXed", HeaderNames::Lower), "x-mixed");
        assert_eq!(written("x-much-longer-than-eighT", HeaderNames::Lower), "x-much-longer-than-eight");
        assert_eq!(written("x_under-score^d|~", HeaderNames::Lower), "x_under-score^d|~");
        assert_eq!(written("X-MiXed", HeaderNames::AsReceived), "X-MiXed");
    }

    #[test]
    fn spelling_is_kept_by_the_side_that_received_it() {
        use HeaderNames::{AsReceived, Lower, ProperCase};
        let cases = [
            (true, Lower, AsReceived),
            (false, AsReceived, Lower),
            (true, ProperCase, AsReceived),
            (false, ProperCase, ProperCase),
        ];
        for (keeps, writes, expected) in cases {
            assert_eq!(Names::of(keeps, writes).0, expected);
        }
    }
}
